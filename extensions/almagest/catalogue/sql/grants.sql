-- Who may do what, in one place. Run by the migration runner at the end of every run.
-- Functions of ours are not executable by PUBLIC (bootstrap.sql), so what is not named here is refused.

-- What is no longer named below is no longer allowed.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA almagest FROM almagest_reader, almagest_writer, almagest_worker, almagest_ops, almagest_external, almagest_external_definer;
REVOKE ALL ON ALL TABLES IN SCHEMA almagest FROM almagest_reader, almagest_writer, almagest_worker, almagest_ops, almagest_external, almagest_external_definer;

GRANT USAGE ON SCHEMA almagest TO almagest_reader, almagest_writer, almagest_worker, almagest_ops, almagest_external_definer;
GRANT SELECT ON almagest.ledger, almagest.registered_search TO almagest_reader, almagest_writer;
GRANT SELECT ON
    almagest.versioning, almagest.base_item, almagest.item_head, almagest.item_history, almagest.collection_head,
    almagest.collection_history, almagest.commit, almagest.folded_commit, almagest.era, almagest.change,
    almagest.stable_time, almagest.forgotten, almagest.change_floor, almagest.lineage_edge, almagest.lineage_position,
    almagest.rollup_state, almagest.rollup, almagest.rollup_number
TO almagest_reader, almagest_writer, almagest_external_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON almagest.exposed, almagest.ingest_run, almagest.ingest_batch TO almagest_writer;
GRANT SELECT, INSERT, UPDATE ON almagest.asset_name TO almagest_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON almagest.mirror, almagest.mirrored TO almagest_writer;
GRANT SELECT ON
    almagest.registered_search, almagest.audience_policy, almagest.collection_rule, almagest.exposed,
    almagest.seen_since, almagest.canary, almagest.ledger
TO almagest_external_definer;

-- Outsiders can call what stands in their schema and touch nothing else. It runs as a role that can only read.
GRANT USAGE ON SCHEMA external TO almagest_external;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA external TO almagest_external;
GRANT USAGE, CREATE ON SCHEMA external TO almagest_external_definer;
DO $$
DECLARE
    wrapper regprocedure;
BEGIN
    FOR wrapper IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'external'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO almagest_external_definer', wrapper);
    END LOOP;
END;
$$;
REVOKE CREATE ON SCHEMA external FROM almagest_external_definer;

GRANT EXECUTE ON FUNCTION
    almagest.port_version(),
    almagest.port_marker(),
    almagest.item_text(text, text, text, jsonb),
    almagest.port_content_path(text[]),
    almagest.port_place(jsonb),
    almagest.port_where(jsonb),
    almagest.port_sort_keys(jsonb),
    almagest.order_by(text[], boolean[], boolean),
    almagest.port_base_item(text, text),
    almagest.port_item_text(text, text, geometry, jsonb),
    almagest.port_page_query(text, text, text, int),
    almagest.port_require_tables(text[]),
    almagest.port_item(text, text),
    almagest.port_joined(jsonb, jsonb),
    almagest.port_hydrate(jsonb, jsonb),
    almagest.port_collection(text),
    almagest.port_collection_search(jsonb),
    almagest.port_queryables(text[]),
    almagest.keyset_predicate(text[], boolean[], boolean[], jsonb, boolean),
    almagest.port_periods(jsonb, tstzrange, boolean),
    almagest.search_periods(jsonb, jsonb, boolean),
    almagest.within_period(tstzrange),
    almagest.search_query(jsonb, jsonb, boolean, int, tstzrange),
    almagest.require_whole(jsonb),
    almagest.search_page(jsonb, jsonb, boolean, int),
    almagest.port_microseconds(timestamptz),
    almagest.port_outlines_query(text),
    almagest.changed_spans(text[], int, xid8, int, xid8),
    almagest.change_mark(),
    almagest.kept_since(text[]),
    almagest.spans_kept(text[], int, xid8),
    almagest.outlines(jsonb, tstzrange, text),
    almagest.current_versions(text, text[]),
    almagest.port_condition(jsonb, text[]),
    almagest.port_operand(text, text[]),
    almagest.port_read_as(text, text),
    almagest.port_moment(jsonb),
    almagest.port_ground(geometry),
    almagest.port_overlap(geometry, geometry),
    almagest.area_below(float8),
    almagest.port_area_km2(geometry),
    almagest.port_common(geometry, geometry),
    almagest.port_share(geometry, geometry, text),
    almagest.port_side(jsonb, text[]),
    almagest.pair_names(jsonb),
    almagest.of_side(jsonb, text),
    almagest.pair_column(jsonb, text, text),
    almagest.pair_kind(jsonb, jsonb),
    almagest.pair_literal(jsonb, text),
    almagest.pair_function(text),
    almagest.pair_property(text, text, jsonb, jsonb),
    almagest.pair_operand(jsonb, text, jsonb, jsonb),
    almagest.pair_relation(text),
    almagest.pair_condition(jsonb, jsonb, jsonb),
    almagest.side_names(jsonb, text),
    almagest.pair_conditions(jsonb, text, jsonb),
    almagest.pair_query(jsonb, jsonb, boolean, int, tstzrange, text),
    almagest.pairs_found(jsonb, jsonb, boolean, int, text),
    almagest.pair_page(jsonb, jsonb, boolean, int),
    almagest.item_row(text, text),
    almagest.item_document(text, text),
    almagest.asset_location(text, text, text),
    almagest.collection_document(text),
    almagest.collection_page(jsonb),
    almagest.queryables(text[]),
    almagest.port_collection_ids(),
    almagest.collection_ids(),
    almagest.port_mosaic_query(text, text, geometry, int, boolean, boolean),
    almagest.mosaic_query(jsonb, jsonb, int, boolean, boolean),
    almagest.mosaic_items(jsonb, jsonb, int, boolean, boolean),
    almagest.registered_search(text),
    almagest.item_states(text, text, timestamptz, int),
    almagest.item_row_at(text, text, timestamptz),
    almagest.item_with_past(text, text),
    almagest.collection_states(text, timestamptz, int),
    almagest.collection_document_at(text, timestamptz),
    almagest.collection_with_past(text),
    almagest.port_row(text, text),
    almagest.port_collection_key(text),
    almagest.port_whole(jsonb),
    almagest.stored_states(text, text, timestamptz, timestamptz),
    almagest.is_version(text, text, timestamptz),
    almagest.neighbours(text, text, timestamptz),
    almagest.port_tag(jsonb),
    almagest.base_item_of(bigint, jsonb),
    almagest.epoch(text[]),
    almagest.present_era(),
    almagest.change_horizon(),
    almagest.changes_between(int, xid8, bigint, int, xid8, int),
    almagest.changes_after(int, xid8, bigint, text[], int),
    almagest.begun_state(text, text, timestamptz),
    almagest.overtakers(text, text, timestamptz, int, xid8),
    almagest.changes_page(int, xid8, bigint, text[], int, int),
    almagest.latest_change(),
    almagest.refuse_unreplayed(),
    almagest.place_kept(int, xid8, bigint),
    almagest.shown_rules(),
    almagest.port_item_rows(),
    almagest.port_matching_query(text),
    almagest.rollup_scheme(),
    almagest.rolled_terms(),
    almagest.rolled_numbers(),
    almagest.term(jsonb, text),
    almagest.number(jsonb, text),
    almagest.on_globe(geometry),
    almagest.middle(geometry),
    almagest.place_text(geometry),
    almagest.geotile(geometry, int),
    almagest.geotile_above(text, int),
    almagest.span_class(jsonb),
    almagest.rollup_facts(timestamptz, geometry, jsonb),
    almagest.longest(text[]),
    almagest.rollup_levels(text, text),
    almagest.rollup_changes(text[], int, xid8, int, xid8),
    almagest.rollup_tail(text[], int, xid8),
    almagest.most_buckets(),
    almagest.most_places(),
    almagest.check_aggregation(jsonb),
    almagest.with_interval(text, text),
    almagest.bucketed(text, int, boolean),
    almagest.scanned(jsonb, int),
    almagest.is_rolled(jsonb),
    almagest.rolled_counts(text, boolean),
    almagest.rolled(jsonb, int),
    almagest.rolled_bins(text),
    almagest.rolled_extreme(jsonb, int),
    almagest.aggregated(text, text[], jsonb),
    almagest.aggregate(jsonb, jsonb),
    almagest.hidden_among(text[])
TO almagest_reader, almagest_writer, almagest_external_definer;

-- As of a moment.
GRANT EXECUTE ON FUNCTION
    almagest.clock(),
    almagest.open_writers(),
    almagest.is_public_writer(int, boolean, int[], int[]),
    almagest.told_until(timestamptz, boolean),
    almagest.stable_until(timestamptz, boolean),
    almagest.print_moment(timestamptz),
    almagest.port_hold_tables(),
    almagest.require_stable(timestamptz, boolean),
    almagest.require_kept(timestamptz, text[]),
    almagest.port_page_query_at(text, text, text, int, timestamptz),
    almagest.port_as_items(text[], jsonb[]),
    almagest.port_collection_search_in(text, jsonb),
    almagest.collection_states_at(text[], timestamptz),
    almagest.search_query_at(jsonb, jsonb, boolean, int, tstzrange, timestamptz)
TO almagest_reader, almagest_external_definer;
GRANT EXECUTE ON FUNCTION
    almagest.search_page_at(jsonb, jsonb, boolean, int, timestamptz),
    almagest.item_at(text, text, timestamptz),
    almagest.collection_at(text, timestamptz),
    almagest.collections_at(timestamptz),
    almagest.collection_page_at(jsonb, timestamptz)
TO almagest_reader;
GRANT EXECUTE ON FUNCTION
    almagest.public_collections_ever(text[]),
    almagest.visible_collections_at(text[], timestamptz),
    almagest.public_page_at(
        jsonb, jsonb, boolean, int, timestamptz, boolean, almagest.audience_policy, text),
    almagest.public_collections_at(jsonb, timestamptz)
TO almagest_external_definer;
GRANT EXECUTE ON FUNCTION almagest.keep_time() TO almagest_ops;

-- What came of what.
GRANT EXECUTE ON FUNCTION
    almagest.authority(text),
    almagest.percent_decoded(text),
    almagest.version_text(timestamptz),
    almagest.version_moment(text),
    almagest.source_links(jsonb, timestamptz),
    almagest.version_near(text, text, timestamptz, boolean, boolean),
    almagest.lineage_document(text, text, timestamptz, boolean),
    almagest.lineage_sources(jsonb, timestamptz, text, boolean),
    almagest.has_sources(jsonb),
    almagest.edges_of(text, text, timestamptz, jsonb),
    almagest.edges_of_change(text, text, timestamptz),
    almagest.lineage_tail(),
    almagest.lineage_products(
        text, text, timestamptz, almagest.lineage_edge[], text, text, timestamptz, int, text, boolean),
    almagest.lineage_node(text, text, timestamptz, jsonb, boolean),
    almagest.walk_lineage(text, text, timestamptz, boolean, int, int, text, boolean)
TO almagest_reader, almagest_writer, almagest_external_definer;

-- Of those inside: outsiders have one of their own.
GRANT EXECUTE ON FUNCTION
    almagest.lineage(text, text, timestamptz, boolean, int, int, text),
    almagest.stale_products(text, text, text, int, text)
TO almagest_reader, almagest_writer;
-- A page inside leads to STAC Browser where that shows the same.
GRANT EXECUTE ON FUNCTION almagest.public_among(text[]) TO almagest_reader;

GRANT EXECUTE ON FUNCTION
    almagest.port_property_path(text, text[]),
    almagest.audience_policy(),
    almagest.judged_collections(text[]),
    almagest.internal_collections(text[]),
    almagest.is_internal(text),
    almagest.visible_collections(text[]),
    almagest.is_hidden_name(text, text[]),
    almagest.quote_regex(text),
    almagest.inside_quotes(text),
    almagest.suspicion(almagest.audience_policy),
    almagest.percent_encoded(text),
    almagest.exposed_href(text, text, text, text),
    almagest.own_public_href(text, almagest.audience_policy),
    almagest.public_href(text, almagest.audience_policy),
    almagest.public_value(jsonb, text, jsonb, almagest.audience_policy, text),
    almagest.public_document(jsonb, text, almagest.audience_policy, text),
    almagest.public_assets(jsonb, jsonb, text, text, almagest.audience_policy, text),
    almagest.public_item(jsonb, jsonb, text, text, almagest.audience_policy, text),
    almagest.public_item_text(jsonb, jsonb, text, text, almagest.audience_policy, text),
    almagest.is_public_path(text[], almagest.audience_policy),
    almagest.check_public_name(text, text, text, text[], almagest.audience_policy),
    almagest.check_public_fields(jsonb, almagest.audience_policy),
    almagest.search_names(jsonb),
    almagest.check_public_names(jsonb, text, text[], almagest.audience_policy),
    almagest.read_paths(jsonb),
    almagest.port_has_index_of_numbers(text[]),
    almagest.port_collections_as_items(text[]),
    almagest.public_property(jsonb, text),
    almagest.as_outsiders_read(text, jsonb, text),
    almagest.public_collections(jsonb),
    almagest.public_page(jsonb, jsonb, boolean, int, boolean, almagest.audience_policy, text),
    almagest.public_search(jsonb, almagest.audience_policy),
    almagest.public_collection_search(jsonb, almagest.audience_policy),
    almagest.withdrawn_assets(text, text),
    almagest.without_withdrawn(jsonb, jsonb, jsonb),
    almagest.without_shared(jsonb, jsonb),
    almagest.without_hidden(jsonb, jsonb, text[], almagest.audience_policy),
    almagest.public_part(jsonb, jsonb, text, text, almagest.audience_policy, text),
    almagest.looks_alike(
        jsonb, geometry, jsonb, jsonb, geometry, jsonb, text, text, text[], almagest.audience_policy, text),
    almagest.public_changes(text, text, timestamptz, timestamptz, boolean, int),
    almagest.stored_moment(text, text, timestamptz),
    almagest.public_predecessor(text, text, timestamptz),
    almagest.stored_moment(text, text, timestamptz),
    almagest.public_beginning(text, text, timestamptz),
    almagest.public_state(text, text, timestamptz),
    almagest.public_change(almagest.change),
    almagest.has_forgotten(int, xid8, bigint, timestamptz),
    almagest.ledger_hash()
TO almagest_external_definer;

GRANT EXECUTE ON FUNCTION
    almagest.port_collection_exists(text),
    almagest.port_count_present(text, text[]),
    almagest.port_current_base(text),
    almagest.port_is_same_joined(jsonb, jsonb, jsonb, jsonb),
    almagest.port_is_same_item(bigint, jsonb, bigint, jsonb),
    almagest.port_put_items(text, text[], text[], text[], bytea[], text[]),
    almagest.port_ensure_partitions(text, text[], text[], boolean),
    almagest.port_refresh_partition(text),
    almagest.port_delete_item(text, text),
    almagest.port_create_collection(jsonb, text),
    almagest.port_update_collection(jsonb),
    almagest.port_delete_collection(text),
    almagest.lock_collection(text),
    almagest.lock_item(text, text),
    almagest.port_hold_item(text, text),
    almagest.port_hold_collection(text),
    almagest.hold_item(text, text),
    almagest.hold_collection(text),
    almagest.write_as(text, text, text, text),
    almagest.port_stripped(jsonb, jsonb),
    almagest.port_content(jsonb, jsonb, int),
    almagest.put_item(jsonb, timestamptz),
    almagest.restore_collection(text, timestamptz),
    almagest.put_items(text, bigint, int, text[], text[], text[], bytea[], text[], text),
    almagest.ensure_partitions(text, text[], text[]),
    almagest.refresh_partition(text),
    almagest.put_collection(jsonb),
    almagest.begin_ingest(text, text, jsonb),
    almagest.ingest_batches(bigint),
    almagest.record_batch(bigint, bytea, int, int, int, int),
    almagest.finish_ingest(bigint),
    almagest.count_present(text, text[]),
    almagest.clock(),
    almagest.delete_item(text, text),
    almagest.create_collection(jsonb),
    almagest.replace_collection(jsonb),
    almagest.delete_collection(text),
    almagest.register_search(jsonb, jsonb),
    almagest.expose_assets(text, text[], text[], text[]),
    almagest.hide_assets(text, text[], text[]),
    almagest.dated_assets(jsonb, text),
    almagest.latest_asset(jsonb, text),
    almagest.note_former_names(text, text, timestamptz),
    almagest.name_of_asset(text, text, text, text, jsonb, jsonb, text),
    almagest.with_extensions_of(jsonb, jsonb),
    almagest.register_asset(text, text, text, jsonb, date, jsonb),
    almagest.remove_asset(text, text, text),
    almagest.move_exposed(text, text[], text, text),
    almagest.port_item_ids(text),
    almagest.begin_mirror(text, text, text[], boolean),
    almagest.move_mirror(text, bigint, text, text, boolean),
    almagest.note_mirrored(text, bigint, text[], text[], timestamptz[], boolean[]),
    almagest.is_anothers(text, text),
    almagest.remove_mirrored(text, text, text[], boolean),
    almagest.remove_mirrored_collection(text, text, timestamptz, boolean),
    almagest.unmirrored(text, bigint, text, text, int),
    almagest.strangers(text, text, int),
    almagest.mirrored_collections(text)
TO almagest_writer;

-- Whoever makes a partition makes its triggers.
GRANT EXECUTE ON FUNCTION almagest.capture_insert(), almagest.capture_update(), almagest.capture_delete() TO pgstac_admin;

-- Who checks keys and logins, and makes them on behalf of people, cannot read the tables.
GRANT EXECUTE ON FUNCTION
    almagest.authorize(text, bytea, inet),
    almagest.authorize_token(uuid, uuid),
    almagest.authorize_page(uuid, bytea),
    almagest.active_keys(),
    almagest.create_key(text, bytea, text, text[], timestamptz, cidr[], uuid),
    almagest.rotate_key(text, bytea, interval),
    almagest.revoke_key(text),
    almagest.list_keys(uuid),
    almagest.create_account(text, text, text, text, text),
    almagest.find_account(uuid, text, text, text),
    almagest.list_accounts(text, int, text),
    almagest.change_account(uuid, text, boolean, text, text[], boolean, text),
    almagest.set_password(uuid, text, text),
    almagest.open_session(uuid, int, text, bytea, interval, text, text),
    almagest.refresh_session(uuid, bytea, bytea, interval),
    almagest.end_session(uuid, text),
    almagest.end_sessions(uuid, text),
    almagest.list_sessions(uuid),
    almagest.forget_sessions(),
    almagest.list_tiers(),
    almagest.list_roles(),
    almagest.public_among(text[]),
    almagest.expire_jobs(interval),
    almagest.clock(),
    almagest.history_sizes(),
    almagest.connection_counts(),
    almagest.fold_commits(),
    almagest.fold_lineage(int),
    almagest.fold_rollups(boolean),
    almagest.refresh_extremes(),
    almagest.add_to_rollups(text[], text[], text[], bigint[]),
    almagest.rollup_lag()
TO almagest_ops;

-- The audit can be added to, and sealed; nobody but the admin reads it.
GRANT EXECUTE ON FUNCTION almagest.note_requests(jsonb) TO almagest_ops, almagest_writer;
GRANT EXECUTE ON FUNCTION
    almagest.seal_audit(int),
    almagest.extend_audit(interval),
    almagest.audit_numbers()
TO almagest_ops;

-- Files of callers.
GRANT EXECUTE ON FUNCTION
    almagest.file_room(text),
    almagest.add_file(text, text, bigint, bytea, text, text, boolean, bytea),
    almagest.list_files(text, timestamptz, uuid, int),
    almagest.find_file(text, text),
    almagest.remove_file(text, text, bytea),
    almagest.keys_without_file(text[])
TO almagest_ops;

-- Jobs: the door takes them in and tells of them, workers do them.
GRANT EXECUTE ON FUNCTION
    almagest.accept_job(text, text, text, text, jsonb, jsonb, int, text, bytea, text),
    almagest.dismiss_job(uuid, boolean, text),
    almagest.retry_job(uuid),
    almagest.job_document(uuid),
    almagest.job_children(uuid),
    almagest.list_jobs(text, jsonb, timestamptz, uuid, int),
    almagest.job_events(uuid, bigint, int),
    almagest.job_counts(),
    almagest.job_queues(),
    almagest.job_troubles(),
    almagest.job_losses(),
    almagest.job_statistics(text, timestamptz, timestamptz),
    almagest.schedules()
TO almagest_ops, almagest_worker;
GRANT EXECUTE ON FUNCTION
    almagest.why_not(text, text),
    almagest.claim_job(uuid, text, interval, text[]),
    almagest.claim_due_job(text[], text, interval, text[]),
    almagest.keep_job(uuid, text, interval, smallint, text, text[]),
    almagest.hold_job(uuid, text),
    almagest.overtaken(uuid, text[], text),
    almagest.release_job(uuid, text),
    almagest.finish_job(uuid, text, jsonb, jsonb),
    almagest.fail_job(uuid, text, jsonb, interval),
    almagest.postpone_job(uuid, text, jsonb, interval),
    almagest.suspend_job(uuid, text, jsonb, jsonb),
    almagest.jobs_to_ring(interval, int),
    almagest.bury_jobs(),
    almagest.expire_jobs(interval),
    almagest.expire_memory(interval),
    almagest.due_schedule(text[], interval),
    almagest.note_schedule(text, timestamptz, timestamptz, uuid, text),
    almagest.claim_posts(interval, int),
    almagest.report_post(uuid, int, text, interval),
    almagest.expire_posts(interval),
    almagest.posts(text, int),
    almagest.due_subscription(interval),
    almagest.tell_changes(text, text, text, jsonb, interval),
    almagest.stop_telling(text, text, text),
    -- Nothing that is made of what is internal becomes public by itself.
    almagest.keep_internal(text, text[]),
    almagest.recall(text, text),
    almagest.remember(text, text, jsonb),
    almagest.is_internal(text),
    almagest.internal_collections(text[]),
    almagest.judged_collections(text[])
TO almagest_worker;
GRANT SELECT ON almagest.audience_policy, almagest.collection_rule TO almagest_worker;

-- Whoever writes through pgSTAC cannot get round what keeps versions.
SELECT almagest.port_withhold();

-- Pairs for outsiders: of what they see, by names that they may name.

CREATE OR REPLACE FUNCTION external.pair_page(asked jsonb, anchor jsonb, backward boolean, page_size int)
RETURNS TABLE (
    collection text, id text, partner_collection text, partner_id text, sort_values jsonb,
    time_difference float8, overlap_km2 float8, overlap_share float8
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    narrowed jsonb := jsonb_build_object();
    reaches_nothing boolean := false;
    member text;
    side record;
BEGIN
    FOREACH member IN ARRAY '{filter,max-time-difference,min-overlap-area,min-overlap-fraction,response-type}'::text[] LOOP
        IF asked ? member THEN
            narrowed := narrowed || jsonb_build_object(member, asked->member);
        END IF;
    END LOOP;
    FOREACH member IN ARRAY '{first,second}'::text[] LOOP
        SELECT s.* INTO side
        FROM almagest.public_search(coalesce(asked->member, '{}') - '{filter,filter-lang,query,q,sortby,fields}'::text[], policy) AS s;
        narrowed := narrowed || jsonb_build_object(member, side.narrowed);
        reaches_nothing := reaches_nothing OR side.is_empty;
        PERFORM almagest.check_public_names(
            almagest.side_names(narrowed, member), 'items',
            ARRAY(SELECT jsonb_array_elements_text(side.narrowed->'collections')), policy);
    END LOOP;
    IF reaches_nothing THEN
        page_size := 0; -- it may still be refused as malformed
    END IF;
    RETURN QUERY
    SELECT * FROM almagest.pairs_found(narrowed, anchor, backward, page_size, almagest.suspicion(policy));
EXCEPTION WHEN data_exception THEN
    -- The message would say what the value is, and it may be one that is hidden.
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
END;
$$;
COMMENT ON FUNCTION external.pair_page(jsonb, jsonb, boolean, int) IS
    'As almagest.pair_page, for outsiders: both items are of visible collections, and are asked for by visible names.';

"""All that a database holds besides rows, as text: to tell whether two are the same."""

from __future__ import annotations

from typing import Any

import psycopg

#: Everything that is neither PostgreSQL's own nor of one session.
_SCHEMAS = "SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"

#: Rights one by one, as their order says nothing; none given means those that an owner gives by default.
_RIGHTS = """
    SELECT coalesce(string_agg(concat_ws(' ', a.grantee::regrole, a.privilege_type, a.is_grantable), ',' ORDER BY
           a.grantee::regrole::text, a.privilege_type, a.is_grantable), '')
    FROM aclexplode(coalesce({acl}, acldefault({kind}, {owner}))) AS a
"""
_KIND = """(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char\""""


def _rights(acl: str, kind: str, owner: str) -> str:
    return f"({_RIGHTS.format(acl=acl, kind=kind, owner=owner)})"


_QUERY = f"""
    SELECT 'schema', n.nspname::text, '', n.nspowner::regrole::text, {_rights("n.nspacl", "'n'", "n.nspowner")}
    FROM pg_namespace AS n WHERE n.oid IN ({_SCHEMAS})
    UNION ALL
    SELECT 'database', '', '', d.datdba::regrole::text, {_rights("d.datacl", "'d'", "d.datdba")}
    FROM pg_database AS d WHERE d.datname = current_database()
    UNION ALL
    SELECT 'setting', coalesce(nullif(s.setrole, 0)::regrole::text, ''), s.setconfig::text, '', ''
    FROM pg_db_role_setting AS s
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase WHERE s.setdatabase = 0 OR d.datname = current_database()
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text,
           CASE WHEN p.prokind = 'a' THEN '' ELSE pg_get_functiondef(p.oid) END, p.proowner::regrole::text,
           {_rights("p.proacl", "'f'", "p.proowner")}
    FROM pg_proc AS p WHERE p.pronamespace IN ({_SCHEMAS})
    UNION ALL
    SELECT 'relation', c.oid::regclass::text,
           concat_ws(' ', c.relkind, c.relpersistence, c.reloptions, pg_get_expr(c.relpartbound, c.oid),
                     CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END),
           c.relowner::regrole::text,
           {_rights("c.relacl", _KIND, "c.relowner")}
    FROM pg_class AS c WHERE c.relnamespace IN ({_SCHEMAS})
    UNION ALL
    SELECT 'column', a.attrelid::regclass::text || '.' || a.attname,
           concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                     a.attstattarget, a.attacl),
           '', coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace IN ({_SCHEMAS}) AND a.attnum > 0
    UNION ALL
    SELECT 'trigger', t.tgrelid::regclass::text || '.' || t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text, ''
    FROM pg_trigger AS t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid::text, ''
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE c.relnamespace IN ({_SCHEMAS})
    UNION ALL
    SELECT 'constraint', concat_ws('.', n.conrelid::regclass, n.conname), pg_get_constraintdef(n.oid),
           n.convalidated::text, ''
    FROM pg_constraint AS n WHERE n.connamespace IN ({_SCHEMAS})
    UNION ALL
    SELECT 'event trigger', e.evtname::text, e.evtevent::text, e.evtfoid::regproc::text, ''
    FROM pg_event_trigger AS e
    UNION ALL
    SELECT 'default rights', concat_ws(' ', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace),
           d.defaclobjtype::text, '', d.defaclacl::text
    FROM pg_default_acl AS d
    UNION ALL
    SELECT 'type', t.oid::regtype::text, t.typtype::text, t.typowner::regrole::text,
           {_rights("t.typacl", "'T'", "t.typowner")}
    FROM pg_type AS t WHERE t.typnamespace IN ({_SCHEMAS})
    UNION ALL
    SELECT 'extension', x.extname::text, x.extversion, x.extnamespace::regnamespace::text, '' FROM pg_extension AS x
    UNION ALL
    SELECT 'statistics', s.stxname::text, pg_get_statisticsobjdef(s.oid), '', '' FROM pg_statistic_ext AS s
    UNION ALL
    SELECT 'comment', d.classoid::regclass::text, d.description, '', ''
    FROM pg_description AS d WHERE d.description ILIKE '%almagest%'
"""

_ROLES = """
    SELECT r.rolname, r.rolsuper, r.rolcanlogin, r.rolconfig::text,
           (SELECT string_agg(m.roleid::regrole::text, ',' ORDER BY 1) FROM pg_auth_members AS m WHERE m.member = r.oid)
    FROM pg_roles AS r WHERE r.rolname !~ '^pg_' ORDER BY 1
"""


def catalog(connection: psycopg.Connection[Any]) -> set[tuple[str, ...]]:
    """Everything in the system catalogues that is of this database."""
    return {tuple(map(str, row)) for row in connection.execute(_QUERY.encode()).fetchall()}


def roles(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Every role of the cluster, and what it is a member of."""
    return connection.execute(_ROLES.encode()).fetchall()

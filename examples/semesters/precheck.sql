-- What attaching would do and what stands in its way. Changes nothing.
-- psql -X -v policy="$(cat policy.json)" -f precheck.sql
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset tuples_only on
\pset format unaligned

\echo 'What stands in the way (REFUSE) or deserves a look (WARN):'
\echo
SELECT upper(action) || ' ' || object || ': ' || obstacle || COALESCE(' (' || violations || ')', '')
       || COALESCE(E'\n  for example  ' || btrim(jsonb_path_query_array(sample, '$[0 to 2]')::text,
                                                '[]'), '')
       || COALESCE(E'\n  remedy       ' || remedy, '') || E'\n'
FROM enroll_precheck(:'policy') WHERE action IN ('refuse', 'warn');

\echo 'What enroll_attach would do:'
\echo
\pset format aligned
\pset tuples_only off
SELECT action, object, lock FROM enroll_precheck(:'policy')
WHERE action NOT IN ('refuse', 'warn');

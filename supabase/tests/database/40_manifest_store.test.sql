-- The manifest store: a row is its document, upserts replace it, and only superadmins say who reads.
begin;
\ir tests.inc
select plan(50);

create function pg_temp.store(relation text, document jsonb) returns text language sql as $$
  select format('insert into %I (document) values (%L)', relation, document)
$$;
create function pg_temp.upsert(relation text, key text, document jsonb) returns text language sql as $$
  select pg_temp.store(relation, document)
    || format(' on conflict (%s) do update set document = excluded.document', key)
$$;
grant execute on function pg_temp.store(text, jsonb), pg_temp.upsert(text, text, jsonb) to public;
select pg_temp.remember('handler', pg_temp.unique_slug('handler'));

-- Readers

select pg_temp.allows('superadmin', $$ insert into manifest_readers (user_id) values ('{nobody}') $$, 'appoints a reader');
select pg_temp.answers('nobody', $$ select count(*) from manifest_readers $$, '1', 'sees nobody else among the readers');
select pg_temp.refuses('nobody', $$ insert into manifest_readers (user_id) values ('{outsider}') $$, '42501',
  'new row violates row-level security policy for table "manifest_readers"', 'cannot appoint others as a reader');
select pg_temp.allows('service', pg_temp.store('gtypes', jsonb_build_object('ref', pg_temp.id('handler'))), 'stores a document');
select pg_temp.allows('nobody', $$ select from gtypes where ref = '{handler}' $$, 'reads as a reader');
select pg_temp.answers('nobody', $$ select gtype_count >= 1 from manifest_store_stats() $$, 'true', 'counts as a reader');
select pg_temp.allows('superadmin', $$ delete from manifest_readers where user_id = '{nobody}' $$, 'dismisses a reader');
select pg_temp.finds_nothing('nobody', $$ select from gtypes where ref = '{handler}' $$, 'reads no longer');
select pg_temp.answers('nobody', $$ select array_to_string(array[
    manifest_count, hook_manifest_count, gtype_count, transformer_count, version_graph_count, timescape_metadata_count], ' ')
  from manifest_store_stats() $$, '0 0 0 0 0 0', 'counts nothing that is hidden');
select pg_temp.refuses('anonymous', 'select manifest_store_stats()', '42501',
  'permission denied for function manifest_store_stats', 'cannot count');
select pg_temp.refuses(actor, 'select clear_manifest_store()', '42501',
  'permission denied for function clear_manifest_store', 'cannot clear the store')
from unnest(array['anonymous', 'nobody', 'superadmin']) actor;
-- The grant refuses these first; row security holds without it.
grant insert (document) on gtypes to authenticated;
select pg_temp.refuses('superadmin', pg_temp.store('gtypes', '{"ref": "Mine"}'), '42501',
  'new row violates row-level security policy for table "gtypes"', 'stores nothing');
revoke insert (document) on gtypes from authenticated;

-- Rows are their documents

select pg_temp.allows('service', pg_temp.upsert('handler_manifests', 'handler_id, version', jsonb_build_object(
    'handlerId', pg_temp.id('handler'), 'version', '1.2.0-rc.1', 'createdAt', at)), 'stores a manifest created at ' || at)
from unnest(array[7, 5]) at;
select pg_temp.answers('service', $$
  select string_agg(concat_ws(' ', version, created_at_ms, version_key, document ->> 'createdAt'), ', ')
  from handler_manifests where handler_id = '{handler}' $$, '1.2.0-rc.1 5 0110120102rc!1011! 5', 'finds one row, by what its document says');
select pg_temp.refuses('service', $$ update handler_manifests set version = '2.0.0' where handler_id = '{handler}' $$, '428C9',
  'column "version" can only be updated to DEFAULT', 'cannot make a row say something else than its document');
select pg_temp.allows('service', $$
  update handler_manifests set document = document || '{"version": "2.0.0"}' where handler_id = '{handler}' $$, 'changes a document');
select pg_temp.allows('service', $$ select from handler_manifests where handler_id = '{handler}' and version = '2.0.0' $$,
  'finds the row by its new version');
select pg_temp.allows('service', pg_temp.upsert(relation, key, jsonb_build_object('handlerId', pg_temp.id('handler'), 'ref',
  pg_temp.id('handler'), 'id', pg_temp.id('handler'), 'version', '1.0.0', 'round', round)), format('stores in %s, round %s', relation, round))
from (values ('hook_manifests', 'handler_id'), ('gtypes', 'ref'), ('transformers', 'id'), ('version_graphs', 'handler_id'),
  ('timescape_metadata', 'handler_id, version')) each_table (relation, key), generate_series(1, 2) round;

-- What no row may be

select pg_temp.refuses('service', pg_temp.store(relation, document), code, message, format('cannot store %s in %s', document, relation))
from (values
  ('handler_manifests', '{"version": "1.0.0", "createdAt": 1}', '23502',
    'null value in column "handler_id" of relation "handler_manifests" violates not-null constraint'),
  ('handler_manifests', '{"handlerId": "a", "createdAt": 1}', '23502',
    'null value in column "version" of relation "handler_manifests" violates not-null constraint'),
  ('handler_manifests', '{"handlerId": "a", "version": "1.0.0"}', '23502',
    'null value in column "created_at_ms" of relation "handler_manifests" violates not-null constraint'),
  ('handler_manifests', '{"handlerId": "a", "version": "1.0", "createdAt": 1}', '23514',
    'new row for relation "handler_manifests" violates check constraint "handler_manifests_version_format"'),
  ('handler_manifests', '{"handlerId": "a b", "version": "1.0.0", "createdAt": 1}', '23514',
    'new row for relation "handler_manifests" violates check constraint "handler_manifests_handler_id_format"'),
  ('handler_manifests', '{"handlerId": 7, "version": "1.0.0", "createdAt": 1}', '23514',
    'new row for relation "handler_manifests" violates check constraint "handler_manifests_handler_id_format"'),
  ('handler_manifests', '{"handlerId": "a", "version": "1.0.0", "createdAt": -1}', '23514',
    'new row for relation "handler_manifests" violates check constraint "handler_manifests_created_at_ms_range"'),
  ('handler_manifests', '{"handlerId": "a", "version": "1.0.0", "createdAt": 1.5}', '22P02',
    'invalid input syntax for type bigint: "1.5"'),
  ('hook_manifests', '{"handlerId": ""}', '23514',
    'new row for relation "hook_manifests" violates check constraint "hook_manifests_handler_id_format"'),
  ('hook_manifests', '{}', '23502', 'null value in column "handler_id" of relation "hook_manifests" violates not-null constraint'),
  ('gtypes', '{"ref": {}}', '23514', 'new row for relation "gtypes" violates check constraint "gtypes_ref_format"'),
  ('gtypes', '[]', '23502', 'null value in column "ref" of relation "gtypes" violates not-null constraint'),
  ('transformers', '{"id": "a"}', '23502', 'null value in column "handler_id" of relation "transformers" violates not-null constraint'),
  ('transformers', '{"id": "é", "handlerId": "a"}', '23514',
    'new row for relation "transformers" violates check constraint "transformers_id_format"'),
  ('transformers', '{"id": "a", "handlerId": null}', '23502',
    'null value in column "handler_id" of relation "transformers" violates not-null constraint'),
  ('version_graphs', '{"handlerId": "a\nb"}', '23514',
    'new row for relation "version_graphs" violates check constraint "version_graphs_handler_id_format"'),
  ('timescape_metadata', '{"handlerId": "a", "version": 1}', '23514',
    'new row for relation "timescape_metadata" violates check constraint "timescape_metadata_version_format"')
) bad (relation, input, code, message), lateral (select input::jsonb) as parsed (document);
select pg_temp.refuses('service', format($$ insert into gtypes (document) values (
    jsonb_build_object('ref', 'a', 'description', repeat('a', %s))) $$, 4194304), '23514',
  'new row for relation "gtypes" violates check constraint "gtypes_document_size"', 'cannot store more than a document has');

-- Clearing

select pg_temp.allows('service', 'select clear_manifest_store()', 'clears the store');
select pg_temp.answers('service', $$ select array_to_string(array[
    manifest_count, hook_manifest_count, gtype_count, transformer_count, version_graph_count, timescape_metadata_count], ' ')
  from manifest_store_stats() $$, '0 0 0 0 0 0', 'finds nothing after that');

select * from finish();
rollback;

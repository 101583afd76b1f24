-- Packages: names, publishing, versions and their order, what never changes, who reads what, where content lies.
begin;
\ir tests.inc
select no_plan();

-- Namespaces

select pg_temp.remember('name', pg_temp.unique_slug('acme'));
select pg_temp.allows('publisher admin', $$ insert into package_namespaces (name, company_id) values ('{name}', '{publisher company}') $$,
  'claims a namespace');
select pg_temp.refuses('customer owner', format($$ insert into package_namespaces (name, company_id) values (%s, '{customer company}') $$, taken),
  'SW100', message, 'cannot claim ' || taken, 'name')
from (values
  ($$'{name}'$$, 'The namespace {name} is taken.'),
  ($$upper('{name}')$$, 'The namespace ' || upper(pg_temp.id('name')) || ' is taken. It could be mistaken for {name}.'),
  ($$replace('{name}', '-', '_')$$,
    'The namespace ' || replace(pg_temp.id('name'), '-', '_') || ' is taken. It could be mistaken for {name}.')
) names (taken, message);
select pg_temp.refuses('customer owner', format($$ insert into package_namespaces (name, company_id) values ('%s', '{customer company}') $$, bad),
  '23514', 'new row for relation "package_namespaces" violates check constraint "package_namespaces_name_format"', 'cannot claim "' || bad || '"')
from unnest(array['', '.', '..', 'a/b', 'a..b', '-a', 'a-', 'a b', 'search', 'jobs', 'é', repeat('a', 64)]) bad;
select pg_temp.refuses('operator', $$ insert into package_namespaces (name) values ('{name}x') $$, '23514',
  'new row for relation "package_namespaces" violates check constraint "package_namespaces_owner"', 'cannot make a namespace that nobody owns unless it is reserved');
select pg_temp.create_namespace('featured');

-- Publishing

create function pg_temp.publish(actor text, package_version text, yaml text, more text default '', package text default 'lib', space text default '{name}')
returns text language sql as $$
  select format($call$ select outcome from publish_package(%s, '%s', '%s', '%s', private.sha256_hex(%L), octet_length(%L), %L%s) $call$,
    case actor when 'service' then 'null' else quote_literal('{' || actor || '}') end, space, package, package_version, yaml, yaml, yaml, more)
$$;
grant execute on function pg_temp.publish(text, text, text, text, text, text) to public;

select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a'), 'published', 'publishes for an admin of the owner');
select pg_temp.answers('service', pg_temp.publish('publisher owner', '1.1.0', 'b', $$, details => '{"description": "A library", "keywords": ["x", "y"]}'$$),
  'published', 'publishes for an owner');
select pg_temp.answers('service', pg_temp.publish('service', '1.2.0', 'c'), 'published', 'publishes for itself');
select pg_temp.answers('service', pg_temp.publish('superadmin', '1.0.0', 'a', space => '{featured}'), 'published',
  'publishes for a superadmin in a reserved namespace');
select pg_temp.refuses('service', pg_temp.publish(actor, '9.0.0', 'a', space => space), 'SW104',
  'The namespace ' || space || ' is not one in which you publish: claim it, or ask an owner of its company.',
  'does not publish for ' || actor || ' in ' || space, 'namespace')
from (values ('publisher member', '{name}'), ('customer owner', '{name}'), ('nobody', '{name}'), ('publisher owner', '{featured}'),
  ('publisher owner', 'nowhere')) bad (actor, space);
select pg_temp.refuses(actor, $$ select publish_package(null, '{name}', 'lib', '9.0.0', repeat('0', 64), 1) $$, '42501', 'permission denied for function publish_package', 'cannot publish past the packages function')
from unnest(array['anonymous', 'publisher owner', 'superadmin']) actor;
select pg_temp.learn('package', 'service', $$ select id from packages where namespace = '{name}' and name = 'lib' $$);
select pg_temp.learn('first', 'service', $$ select id from package_versions where package_id = '{package}' and version = '1.0.0' $$);
select pg_temp.answers('publisher member', $$ select concat_ws(' ', visibility, description, keywords::text, latest_version) from packages where id = '{package}' $$,
  'private A library {x,y} 1.2.0', 'sees what the newest version says of the package');
select pg_temp.answers('service', $$ select visibility from packages where namespace = '{featured}' $$, 'public', 'finds packages of reserved namespaces public');

select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a'), 'unchanged', 'publishes the same again as nothing');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0', 'other'), 'SW101',
  'Version 1.0.0 of {name}/lib is published with other content: publish a new version.', 'does not publish a version twice', 'version');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0', 'a', $$, files => '[{"path": "b", "content": "b", "size": 1, "sha256": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"}]'$$),
  'SW101', 'Version 1.0.0 of {name}/lib is published with other content: publish a new version.', 'does not add a file to a version', 'version');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0+build.2', 'a'), 'SW101',
  'Version 1.0.0 exists, and differs in build metadata alone.', 'does not publish what has the same place in the order', 'version');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0', 'a', package => twin), 'SW100',
  'The package {name}/' || original || ' exists, and ' || twin || ' could be mistaken for it.', 'does not publish ' || twin || ' beside ' || original, 'name')
from (values ('Lib', 'lib'), ('LIB', 'lib')) twins (twin, original);
select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a', package => 'two-words'), 'published', 'publishes a name of two words');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0', 'a', package => twin), 'SW100',
  'The package {name}/two-words exists, and ' || twin || ' could be mistaken for it.', 'does not publish ' || twin || ' beside two-words', 'name')
from unnest(array['two_words', 'two.words', 'Two-Words']) twin;
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.0.0', 'a', package => bad), 'SW001',
  'name takes letters, digits and single ".", "-" and "_" between them, 100 at most.', 'does not publish a package called "' || left(bad, 20) || '"', 'name')
from unnest(array['', '..', '../x', 'a/b', 'a b', 'a--b', '.a', repeat('a', 101)]) bad;
select pg_temp.refuses('service', pg_temp.publish('publisher admin', bad, 'a'), 'SW001', 'version must be a semantic version such as 1.4.0.',
  'does not publish version "' || bad || '"', 'version')
from unnest(array['', '1', '1.0', 'v1.0.0', '01.0.0', '1.0.0-', 'latest']) bad;
select pg_temp.refuses('service', $$ select publish_package('{publisher admin}', '{name}', 'lib', '9.0.0', repeat('0', 64), 1, 'a') $$, 'SW103',
  'The content does not have the declared checksum.', 'does not publish content with another checksum', 'sha256');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '9.0.0', 'a', format(
  $$, dependencies => '[{"namespace": "%s", "name": "LIB", "range": "^1.0.0", "source": "yaml", "resolution": "package"}]'$$, pg_temp.id('name'))),
  'SW105', 'A package cannot depend on itself.', 'does not publish a dependency on itself', 'dependencies');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '9.0.0', 'a', $$, details => '{"status": "archived"}'$$), 'SW001',
  'status takes draft or published.', 'does not publish what is archived from the beginning', 'status');
select pg_temp.answers('service', $$ select count(*) from package_versions where version = '9.0.0' and package_id = '{package}' $$, '0', 'finds nothing of what was refused');

-- Drafts

select pg_temp.answers('service', pg_temp.publish('publisher admin', '3.0.0', 'a', $$, details => '{"status": "draft"}'$$), 'drafted', 'stores a draft');
select pg_temp.answers('service', pg_temp.publish('publisher admin', '3.0.0', 'b', $$, details => '{"status": "draft"}'$$), 'drafted', 'replaces a draft');
select pg_temp.answers('publisher member', $$ select yaml_content || ' ' || status from package_versions where version = '3.0.0' and package_id = '{package}' $$, 'b draft',
  'sees the draft that took the place');
select pg_temp.answers('publisher member', $$ select latest_version from packages where id = '{package}' $$, '1.2.0', 'does not see a draft as latest');
select pg_temp.allows('publisher admin', $$ delete from package_versions where version = '3.0.0' and package_id = '{package}' $$, 'deletes a draft');

-- What is published never changes, not even for the service

select pg_temp.refuses('service', format($$ update package_versions set %s where id = '{first}' $$, change), 'SW020',
  'Version 1.0.0 is published: its content never changes. Publish a new version.', 'cannot set ' || left(change, 40), 'version')
from unnest(array[
  $$version = '1.0.1'$$, $$yaml_content = 'b', sha256 = private.sha256_hex('b')$$, $$size = 2, yaml_content = null, storage_path = 'x'$$,
  $$published_at = null$$, $$published_at = now() + interval '1 day'$$, $$package_id = gen_random_uuid()$$]) change;
select pg_temp.refuses('service', $$ update package_versions set yaml_content = 'tampered' where id = '{first}' $$, '23514',
  'new row for relation "package_versions" violates check constraint "package_versions_content_checksum"', 'cannot change content under its checksum');
select pg_temp.refuses('service', $$ update package_versions set yaml_content = null where id = '{first}' $$, '23514',
  'new row for relation "package_versions" violates check constraint "package_versions_has_content"', 'cannot lose content');
select pg_temp.refuses('service', $$ insert into package_files (version_id, path, content, sha256, size) values ('{first}', 'a', 'a', private.sha256_hex('a'), 1) $$, 'SW020',
  'Version 1.0.0 is published: its content never changes. Publish a new version.', 'cannot add a file to what is published', 'version');
select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.3.0', 'a', $$, files =>
    '[{"path": "a.proto", "content": "a", "size": 1, "sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}]'$$),
  'published', 'publishes a version with a file');
select pg_temp.learn('file', 'service', $$ select f.id from package_files f join package_versions v on v.id = f.version_id where v.package_id = '{package}' $$);
select pg_temp.refuses('service', statement, 'SW020', 'Version 1.3.0 is published: its content never changes. Publish a new version.',
  'cannot ' || left(statement, 30), 'version')
from unnest(array[$$ delete from package_files where id = '{file}' $$, $$ update package_files set path = 'b.proto' where id = '{file}' $$]) statement;
select pg_temp.refuses('service', $$ update package_files set content = 'b' where id = '{file}' $$, '23514',
  'new row for relation "package_files" violates check constraint "package_files_content_checksum"', 'cannot change a file under its checksum');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.4.0', 'a', format($$, files => '[{"path": "%s", "content": "", "size": 0, "sha256": "%s"}]'$$,
  bad, private.sha256_hex(''))), '23514', 'new row for relation "package_files" violates check constraint "package_files_path_format"',
  'does not publish a file called ' || bad)
from unnest(array['../a.proto', '/a.proto', 'a/../b', 'a//b', './a', 'a\\b', '']) bad;

-- Status

select pg_temp.refuses('publisher admin', $$ update package_versions set status = 'deprecated', status_reason = ' ' where id = '{first}' $$, 'SW001',
  'Say why the version is deprecated, and what to use instead.', 'cannot deprecate without a reason', 'status_reason');
select pg_temp.allows('publisher admin', $$ update package_versions set status = 'deprecated', status_reason = 'Use 1.1' where id = '{first}' $$, 'deprecates');
select pg_temp.allows('publisher admin', $$ update package_versions set status = 'published' where id = '{first}' $$, 'takes that back');
select pg_temp.answers('publisher admin', $$ select status_reason is null from package_versions where id = '{first}' $$, 'true', 'sees that the reason is gone');
select pg_temp.allows('publisher admin', $$ update package_versions set status = 'archived', status_reason = 'Broken' where id = '{first}' $$, 'archives');
select pg_temp.refuses('publisher admin', format($$ update package_versions set status = '%s', status_reason = 'r' where id = '{first}' $$, wanted), 'SW022',
  'A version that is archived does not become ' || wanted || '.', 'cannot make an archived version ' || wanted, 'status')
from unnest(array['draft', 'published', 'deprecated']) wanted;
select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a'), 'unchanged', 'does not publish an archived version again');
select pg_temp.answers('publisher member', $$ select yaml_content from package_versions where id = '{first}' $$, 'a', 'still reads what is archived');
select pg_temp.answers('publisher member', $$
  select string_agg(concat_ws(' ', change, reason, changed_by = '{publisher admin}'), ', ' order by created_at)
  from package_version_changes where version_id = '{first}' $$,
  'published t, deprecated Use 1.1 t, restored t, archived Broken t', 'reads the changelog, with who and why');

-- Order, as semver.org, 11 says, and the latest

create temp table precedence on commit drop as
select version, number from unnest(array['0.0.1', '0.9.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2',
  '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '1.2.0', '1.10.0', '2.0.0', '10.0.0-0', '10.0.0-a', '10.0.0']) with ordinality as list (version, number);
grant select on precedence to public;
select pg_temp.answers('service', pg_temp.publish('service', version, version, package => 'order'), 'published', 'publishes ' || version)
from precedence order by md5(version);
select pg_temp.answers('publisher member', $$ select string_agg(version, ' ' order by version_key) from package_versions v join packages p on p.id = package_id
  where p.name = 'order' and p.namespace = '{name}' $$, (select string_agg(version, ' ' order by number) from precedence), 'sees versions in the order of precedence');
create function pg_temp.latest() returns text language sql as $$
  select latest_version from packages where namespace = pg_temp.id('name') and name = 'order'
$$;
create function pg_temp.retire(version_pattern text, wanted text) returns void language sql as $$
  update package_versions v set status = wanted, status_reason = 'Old' from packages p
  where p.id = v.package_id and p.namespace = pg_temp.id('name') and p.name = 'order' and v.version ~ version_pattern and v.status <> 'archived'
$$;
select is(pg_temp.latest(), '10.0.0', 'the latest version is the highest');
select pg_temp.retire('^(10|2)\.\d+\.\d+$', 'deprecated');
select is(pg_temp.latest(), '1.10.0', 'a deprecated version is not the latest while another is published, nor is a pre-release');
select pg_temp.retire('^\d+\.\d+\.\d+$', 'archived');
select is(pg_temp.latest(), '10.0.0-a', 'the latest is a pre-release where there is nothing else');
select pg_temp.retire('.', 'deprecated');
select is(pg_temp.latest(), '10.0.0-a', 'the latest is deprecated where all are');
select pg_temp.retire('.', 'archived');
select is(pg_temp.latest(), null, 'a package whose versions are archived has no latest');

-- Reading

update packages set visibility = 'public' where id = pg_temp.id('package')::uuid;
select pg_temp.answers('anonymous', $$ select string_agg(v ->> 'version', ' ') from jsonb_array_elements(read_package('{name}', 'lib') -> 'versions') v $$,
  '1.3.0 1.2.0 1.1.0 1.0.0', 'reads a public package with its versions');
select pg_temp.answers('anonymous', $$ select read_package('{name}', 'two-words') is null $$, 'true', 'finds no private package');
select pg_temp.answers('publisher member', $$ select read_package('{name}', 'two-words') ->> 'latest_version' $$, '1.0.0', 'reads a private package');
select pg_temp.answers('anonymous', $$ select read_package_version('{name}', 'lib', '1.0.0') ->> 'yaml_content' $$, 'a', 'reads the content of an archived version');
select pg_temp.answers('anonymous', $$ select read_package_version('{name}', 'lib', '1.3.0') -> 'files' -> 0 ->> 'path' $$, 'a.proto', 'reads the list of files');
select pg_temp.answers('anonymous', $$ select read_package_version('{name}', 'two-words', '1.0.0') is null $$, 'true', 'finds no version of a private package');
select pg_temp.answers('anonymous', $$ select read_package('{name}', 'lib') ? 'company_id' $$, 'false', 'is not told whose it is');

-- Who made it is the company's affair

select is_empty($$
  select attrelid::regclass, attname from pg_attribute join pg_class c on c.oid = attrelid
  where relnamespace = 'public'::regnamespace and relname like 'package%' and relkind = 'r' and attnum > 0 and not attisdropped
    and attname ~ '_by$' and has_column_privilege('anon', attrelid, attnum, 'select')
$$, 'anonymous reads no column of packages that names a user');
select pg_temp.answers(actor, $$ select string_agg(c ->> 'change', ' ') from jsonb_array_elements(list_package_changes('{name}', 'lib')) c
  where c ->> 'version' = '1.0.0' $$, 'archived restored deprecated published', 'reads the changelog of a public package')
from unnest(array['anonymous', 'nobody', 'customer owner', 'publisher member', 'superadmin', 'service']) actor;
select pg_temp.answers(actor, $$ select bool_or(c ? 'changed_by') from jsonb_array_elements(list_package_changes('{name}', 'lib')) c $$, told,
  case told when 'true' then 'is' else 'is not' end || ' told who changed it')
from (values ('anonymous', 'false'), ('nobody', 'false'), ('customer owner', 'false'), ('publisher member', 'true'), ('superadmin', 'true'),
  ('service', 'true')) told (actor, told);
select pg_temp.answers(actor, $$ select list_package_changes('{name}', 'two-words') is null $$, hidden, 'finds the changelog of a private package: ' || (hidden = 'false'))
from (values ('anonymous', 'true'), ('nobody', 'true'), ('customer owner', 'true'), ('publisher member', 'false'), ('superadmin', 'false')) seen (actor, hidden);
select pg_temp.answers('publisher member', $$ select c ->> 'changed_by' = '{publisher admin}' from jsonb_array_elements(list_package_changes('{name}', 'lib')) c
  where c ->> 'change' = 'archived' $$, 'true', 'is told that it was the admin');
select pg_temp.answers('service', pg_temp.publish('publisher admin', '7.0.0', 'a', $$, details => '{"status": "draft"}'$$), 'drafted', 'stores a draft of a public package');
select pg_temp.answers(actor, $$ select count(*) from jsonb_array_elements(list_package_changes('{name}', 'lib')) c where c ->> 'change' = 'drafted' $$, seen,
  'reads of the draft in the changelog: ' || seen)
from (values ('anonymous', '0'), ('customer owner', '0'), ('publisher member', '1')) drafts (actor, seen);
select pg_temp.answers('publisher member', $$ select jsonb_array_length(list_package_changes('{name}', 'lib', max_results => 2, skip => 1)) $$, '2', 'reads a page of the changelog');

-- How it described itself before it was public

update packages set repository = 'https://git.internal/' || name where id = pg_temp.id('package')::uuid;
update package_version_changes set created_at = now() - interval '1 day'
where package_id = pg_temp.id('package')::uuid and details ? 'repository';
update packages set repository = 'https://example.org/' || name where id = pg_temp.id('package')::uuid;
select pg_temp.answers(actor, $$ select string_agg(c -> 'details' ->> 'repository', ' ' order by c ->> 'created_at')
  from jsonb_array_elements(list_package_changes('{name}', 'lib')) c where c -> 'details' ? 'repository' $$, seen,
  'is told of descriptions ' || case when seen like '%internal%' then 'from before it was public, too' else 'since it is public' end)
from (values ('anonymous', 'https://example.org/lib'), ('customer owner', 'https://example.org/lib'),
  ('publisher member', 'https://git.internal/lib https://example.org/lib')) told (actor, seen);

-- The name of what is a draft alone

select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a', $$, details => '{"status": "draft", "visibility": "public"}'$$, 'next-big-thing'), 'drafted',
  'stores the first draft of a package that is to be public');
select pg_temp.answers(actor, $$ select search_packages('next-big') ->> 'total' || ' ' || (read_package('{name}', 'next-big-thing') is not null) $$, seen,
  'finds the package by its name: ' || seen)
from (values ('anonymous', '0 false'), ('customer owner', '0 false'), ('publisher member', '1 true')) drafts (actor, seen);
select pg_temp.allows('publisher admin', $$ update package_versions v set status = 'published' from packages p where p.id = v.package_id and p.name = 'next-big-thing' $$,
  'publishes the draft');
select pg_temp.answers('anonymous', $$ select search_packages('next-big') ->> 'total' $$, '1', 'finds the package now');

-- A dry run, and the draft that is meant

select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.0.0', 'a', $$, details => '{"dry_run": true}'$$, 'tried'), 'valid', 'tries to publish');
select pg_temp.answers('service', pg_temp.publish('publisher admin', '1.1.0', 'b', $$, details => '{"dry_run": true}'$$), 'unchanged', 'tries what is published');
select pg_temp.answers('service', $$ select count(*) from packages where namespace = '{name}' and name = 'tried' $$, '0', 'finds nothing of what was tried');
select pg_temp.refuses('service', pg_temp.publish('customer owner', '1.0.0', 'a', $$, details => '{"dry_run": true}'$$, 'tried'), 'SW104',
  'The namespace {name} is not one in which you publish: claim it, or ask an owner of its company.', 'does not even try for a stranger', 'namespace');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '1.1.0', 'other', $$, details => '{"dry_run": true}'$$), 'SW101',
  'Version 1.1.0 of {name}/lib is published with other content: publish a new version.', 'is told in a dry run what would be wrong', 'version');
select pg_temp.learn('draft', 'service', $$ select id from package_versions where package_id = '{package}' and version = '7.0.0' $$);
select pg_temp.answers('service', pg_temp.publish('publisher admin', '7.0.0', 'b', $$, details => '{"status": "draft"}'$$), 'drafted', 'replaces the draft');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '7.0.0', 'a', format($$, details => '{"draft": "%s"}'$$, pg_temp.id('draft'))), 'SW121',
  'The draft of version 7.0.0 was replaced or deleted in the meantime.', 'does not publish a draft that was replaced', 'version');
select pg_temp.learn('draft', 'service', $$ select id from package_versions where package_id = '{package}' and version = '7.0.0' $$);
select pg_temp.answers('service', pg_temp.publish('publisher admin', '7.0.0', 'b', format($$, details => '{"draft": "%s"}'$$, pg_temp.id('draft'))), 'published',
  'publishes the draft that is there');
select pg_temp.answers('service', pg_temp.publish('publisher admin', '7.0.0', 'b', format($$, details => '{"draft": "%s"}'$$, pg_temp.id('draft'))), 'unchanged',
  'does it once');
select pg_temp.refuses('service', pg_temp.publish('publisher admin', '7.0.1', 'b', format($$, details => '{"draft": "%s"}'$$, pg_temp.id('draft'))), 'SW121',
  'The draft of version 7.0.1 was replaced or deleted in the meantime.', 'does not publish a draft that was deleted', 'version');
select pg_temp.allows('publisher admin', $$ update package_versions set status = 'archived' where package_id = '{package}' and version = '7.0.0' $$, 'archives that again');

select pg_temp.answers('anonymous', $$ select string_agg(p ->> 'name', ' ') from jsonb_array_elements(search_packages('%', '{name}') -> 'packages') p $$, null,
  'finds no package by a wildcard');
select pg_temp.answers(actor, $$ select search_packages('', '{name}') ->> 'total' $$, total, 'finds ' || total || ' packages')
from (values ('anonymous', '2'), ('customer owner', '2'), ('publisher member', '4'), ('superadmin', '4')) seen (actor, total);
select pg_temp.answers('anonymous', format($$ select search_packages('%s', '{name}') ->> 'total' $$, words), total, 'finds ' || total || ' packages by ' || words)
from (values ('LIB', '1'), ('library', '1'), ('y', '1'), ('zebra', '0')) queries (words, total);

-- Dependencies

create function pg_temp.needs(dependency text, range text) returns text language sql as $$
  select format($json$, dependencies => '[{"namespace": "{name}", "name": "%s", "range": "%s", "source": "yaml", "resolution": "package"}]'$json$, dependency, range)
$$;
select pg_temp.answers('service', pg_temp.publish('service', '1.0.0', 'top', pg_temp.needs('lib', '^1.0.0') || $$, details => '{"visibility": "public"}'$$, 'top'), 'published',
  'publishes what needs a library');
select pg_temp.answers('service', pg_temp.publish('service', '1.0.0', 'app', pg_temp.needs('top', '1.x'), 'app'), 'published', 'publishes what needs that, in private');
select pg_temp.answers('publisher member', $$ select (select string_agg(key, ' ' order by key) from jsonb_object_keys(list_package_candidates(array['{name}/app'])) key) $$,
  '{name}/app {name}/lib {name}/top', 'sees all that a resolution may need');
select pg_temp.answers('publisher member', $$ select list_package_candidates(array['{name}/app']) -> '{name}/top' -> 0 -> 'dependencies' ->> '{name}/lib' $$,
  '^1.0.0', 'sees in what range');
select pg_temp.answers('publisher member', $$ select string_agg(v ->> 'version', ' ') from jsonb_array_elements(list_package_candidates(array['{name}/app']) -> '{name}/lib') v $$,
  '1.3.0 1.2.0 1.1.0', 'sees no archived version among them');
select pg_temp.answers('anonymous', $$ select list_package_candidates(array['{name}/app']) $$, '{}', 'sees nothing of a private package');
select pg_temp.answers('publisher member', $$ select list_package_dependents('{name}', 'top') -> 'dependents' -> 0 ->> 'name' $$, 'app', 'sees who needs a package');
select pg_temp.answers('anonymous', $$ select list_package_dependents('{name}', 'top') ->> 'total' $$, '0', 'does not see a private dependent');
select pg_temp.answers('anonymous', $$ select list_package_dependents('{name}', 'lib') -> 'dependents' -> 0 ->> 'range' $$, '^1.0.0', 'sees a public one');

select pg_temp.refuses('anonymous', $$ select list_package_candidates(array(select 'a/p' || n from generate_series(1, 20001) n)) $$, 'SW120',
  'A resolution begins with 20000 packages at most.', 'cannot begin with too many packages', 'roots');

-- What a version resolved to tells nobody of private packages that are not named in its YAML

create function pg_temp.resolved(package text, package_visibility text) returns text language sql as $$
  select pg_temp.publish('publisher admin', '1.0.0', 'r', format(
    $json$, details => '{"visibility": "%s", "resolution": {"{name}/app": "1.0.0", "{name}/top": "1.0.0", "{customer space}/hidden": "1.0.0", "no/where": "1.0.0"}}'$json$,
    package_visibility), package)
$$;
select pg_temp.create_namespace('customer space', 'customer company');
select pg_temp.answers('service', $$ select outcome from publish_package(null, '{customer space}', 'hidden', '1.0.0', private.sha256_hex('a'), 1, 'a') $$, 'published',
  'publishes a private package of another company');
select pg_temp.answers('service', pg_temp.resolved('resolved-public', 'public'), 'published', 'publishes with a resolution, for everybody');
select pg_temp.answers('service', pg_temp.resolved('resolved-private', 'private'), 'published', 'publishes with a resolution, for the company');
create function pg_temp.resolution_of(package text) returns text language sql as $$
  select string_agg(split_part(key, '/', 2), ' ' order by key) from public.packages p join public.package_versions v on v.package_id = p.id
  cross join jsonb_object_keys(v.resolution) key where p.namespace = pg_temp.id('name') and p.name = package
$$;
select is(pg_temp.resolution_of('resolved-public'), 'top', 'a public version keeps what is public of its resolution');
select is(pg_temp.resolution_of('resolved-private'), 'app top', 'a private version keeps what is its company''s too, and nothing of another one');
select pg_temp.allows('publisher admin', $$ update packages set visibility = 'public' where namespace = '{name}' and name = 'resolved-private' $$, 'makes it public');
select is(pg_temp.resolution_of('resolved-private'), 'top', 'what becomes public loses what is private');

-- Versions without dependencies wait for the background job

select pg_temp.answers('service', pg_temp.publish('service', '1.0.0', 'dependencies: {}', '', 'unparsed'), 'published', 'publishes without dependencies');
select pg_temp.learn('unparsed', 'service', $$ select id from list_unparsed_package_versions() where namespace = '{name}' and name = 'unparsed' $$);
select pg_temp.allows('service', $$ select save_package_dependencies('{unparsed}', '[{"namespace": "{name}", "name": "top", "range": "1.x", "source": "yaml", "resolution": "package"}]') $$,
  'saves what was parsed');
select pg_temp.allows('service', $$ select save_package_dependencies('{unparsed}', '[{"namespace": "{name}", "name": "lib", "range": "1.x", "source": "yaml", "resolution": "package"}]') $$,
  'hears no error when it was parsed meanwhile');
select pg_temp.answers('service', $$ select string_agg(dependency_name, ' ') from package_dependencies where version_id = '{unparsed}' $$, 'top', 'finds what was saved first');
select pg_temp.answers('service', $$ select count(*) from list_unparsed_package_versions() where id = '{unparsed}' $$, '0', 'has nothing left to parse');

-- Where content lies

select pg_temp.answers('service', $$ select change_package_settings(inline_limit_bytes => 10, move_percentage => 0) $$,
  '{"dual_read": true, "fallback_count": 0, "move_percentage": 0, "last_fallback_at": null, "inline_limit_bytes": 10}', 'changes the settings');
select pg_temp.refuses('service', format($$ select change_package_settings(%s) $$, bad), 'SW001', message, 'cannot set ' || bad, field)
from (values ('-1', 'inline_limit_bytes takes 0 to 10485760.', 'inline_limit_bytes'), ('null, 101', 'move_percentage takes 0 to 100.', 'move_percentage'),
  ('null, -1', 'move_percentage takes 0 to 100.', 'move_percentage')) settings (bad, message, field);
select pg_temp.answers('service', $$ select count(*) from list_package_moves(100) where id = '{unparsed}' $$, '0', 'moves nothing at 0 percent');
select pg_temp.allows('service', $$ select change_package_settings(move_percentage => 100) $$, 'rolls out');
select pg_temp.answers('service', $$ select concat_ws(' ', part, target, path, content) from list_package_moves(100) where id = '{unparsed}' $$,
  'yaml storage unparsed-1.0.0.yaml dependencies: {}', 'is told what lies in the wrong place');
select pg_temp.answers('service', $$ select move_package_content('yaml', '{unparsed}', storage_path => '{name}/unparsed/1.0.0/u.yaml') $$, 'true', 'moves content to object storage');
select pg_temp.answers('service', $$ select move_package_content('yaml', '{unparsed}', storage_path => '{name}/unparsed/1.0.0/u.yaml') $$, 'false', 'moves it once');
select pg_temp.refuses('service', $$ select move_package_content('yaml', '{unparsed}', content => 'tampered') $$, '23514',
  'new row for relation "package_versions" violates check constraint "package_versions_content_checksum"', 'cannot move other content back');
select pg_temp.answers('service', $$ select move_package_content('yaml', '{unparsed}', content => 'dependencies: {}') $$, 'true', 'moves it back');
select is((select count(*) from generate_series(1, 1000) n where private.is_rolled_out(md5(n::text)::uuid, percentage)) between low and high, true,
  percentage || ' percent are about that many')
from (values (0, 0, 0), (10, 60, 140), (50, 420, 580), (100, 1000, 1000)) parts (percentage, low, high);
select is_empty($$ select n from generate_series(1, 200) n, generate_series(0, 99) p
  where private.is_rolled_out(md5(n::text)::uuid, p) and not private.is_rolled_out(md5(n::text)::uuid, p + 1) $$, 'who is in stays in');

select pg_temp.allows('service', $$ select count_package_fallbacks(3) $$, 'counts what only the directory had');
select pg_temp.answers('service', $$ select package_settings() ->> 'fallback_count' $$, '3', 'reads the count');

-- Imports can be taken back, by the service alone

select pg_temp.remember('run', gen_random_uuid());
select pg_temp.answers('service', pg_temp.publish('service', '1.0.0', 'old', $$, details => '{"import_run": "{run}"}'$$, 'imported'), 'published',
  'imports a version');
select pg_temp.refuses('publisher owner', $$ delete from package_versions where import_run = '{run}' $$, 'SW022',
  'Version 1.0.0 is published: what was published is archived, never deleted.', 'cannot delete what was imported', 'status');
select pg_temp.refuses('service', $$ update package_versions set import_run = '{run}' where id = '{first}' $$, 'SW020',
  'Version 1.0.0 is archived: its content never changes. Publish a new version.', 'cannot pretend that a version was imported', 'version');
select pg_temp.answers('service', $$ select latest_version from packages where namespace = '{name}' and name = 'imported' $$, '1.0.0', 'sees it as latest');
select pg_temp.allows('service', $$ delete from package_versions where import_run = '{run}' $$, 'takes an import back');
select pg_temp.answers('service', $$ select latest_version is null from packages where namespace = '{name}' and name = 'imported' $$, 'true', 'does not see it as latest any more');

-- Downloads

select pg_temp.allows('service', $$ select count_package_downloads(jsonb_build_object('{first}', 3, '{unparsed}', 2, gen_random_uuid(), 1)) $$, 'counts downloads');
select pg_temp.answers('anonymous', $$ select download_count from packages where id = '{package}' $$, '3', 'reads the count');
select pg_temp.answers('service', $$ select updated_at = created_at from package_versions where id = '{unparsed}' $$, 'true', 'sees that counting is no change');

-- A namespace is as public as what is in it

select pg_temp.answers('anonymous', $$ select count(*) from package_namespaces where name = '{name}' $$, '1', 'reads a namespace with a public package');
select pg_temp.answers('service', $$ with hidden as (
  update packages set visibility = 'private' where namespace = '{name}' and name <> 'lib' and visibility = 'public' returning 1
) select count(*) > 0 from hidden $$, 'true', 'takes all packages back but one');
select pg_temp.answers('anonymous', $$ select count(*) from package_namespaces where name = '{name}' $$, '1', 'reads the namespace while one is public');
select pg_temp.allows('service', $$ update packages set visibility = 'private' where namespace = '{name}' and name = 'lib' $$, 'takes the last one back');
select pg_temp.answers('anonymous', $$ select count(*) from package_namespaces where name = '{name}' $$, '0', 'reads the namespace no more');

select * from finish();
rollback;

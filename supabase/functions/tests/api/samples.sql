-- What the examples in the OpenAPI document are about, beside the seed: rows with the ids of
-- supabase/functions/api/samples.ts. Run by the owner of the database, on a seeded one.
begin;

update applications set created_at = '2025-07-21 09:00Z' where id = '5eed0000-0000-4000-8000-00000000a001';
update app_assignments set created_at = '2025-07-21 09:00Z';
delete from app_assignments where app_id = '5eed0000-0000-4000-8000-00000000a002';
delete from app_versions where app_id = '5eed0000-0000-4000-8000-00000000a002';

insert into app_versions (app_id, version, manifest, created_by, created_at) values
  ('5eed0000-0000-4000-8000-00000000a001', '1.1.0',
    '{"name": "regional-sales", "version": "1.1.0", "type": "backend",
      "permissions": [{"type": "network", "scope": "api.example.com", "required": true}]}',
    '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z'),
  ('5eed0000-0000-4000-8000-00000000a001', '1.0.1', null, null, '2025-07-21 09:00Z');

insert into app_storage (id, app_id, version, file_path, file_type, file_size, content_type, checksum, created_at) values
  ('5eed0000-0000-4000-8000-00000000f001', '5eed0000-0000-4000-8000-00000000a001', '1.1.0',
    'app_5eed0000-0000-4000-8000-00000000a001/1.1.0/source.zip', 'source', 2048, 'application/zip',
    'sha256:' || repeat('5eed', 16), '2025-07-21 09:00Z'),
  ('5eed0000-0000-4000-8000-00000000f002', '5eed0000-0000-4000-8000-00000000a001', '1.0.0',
    'app_5eed0000-0000-4000-8000-00000000a001/1.0.0/source.zip', 'source', 2048, 'application/zip',
    'sha256:' || repeat('5eed', 16), '2025-07-21 09:00Z');
update app_versions set status = 'published' where version = '1.1.0';

update app_permissions set id = '5eed0000-0000-4000-8000-00000000e021', created_at = '2025-07-21 09:00Z';

insert into app_builds (id, app_id, build_version, requested_by, created_at) values
  ('5eed0000-0000-4000-8000-00000000b001', '5eed0000-0000-4000-8000-00000000a001', '1.1.0',
    '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z'),
  ('5eed0000-0000-4000-8000-00000000b002', '5eed0000-0000-4000-8000-00000000a001', '1.1.0',
    '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z');
update app_builds set build_status = 'building' where id = '5eed0000-0000-4000-8000-00000000b001';
update app_builds
set build_status = 'success', file_size = 4096, checksum = 'sha256:' || repeat('5eed', 16),
  build_path = 'app_5eed0000-0000-4000-8000-00000000a001/builds/5eed0000-0000-4000-8000-00000000b001/build.tar.gz',
  build_logs = 'app_5eed0000-0000-4000-8000-00000000a001/builds/5eed0000-0000-4000-8000-00000000b001/build.log'
where id = '5eed0000-0000-4000-8000-00000000b001';

insert into app_runs (id, app_id, company_id, version, config, requested_by, created_at, run_after) values
  ('5eed0000-0000-4000-8000-00000000d001', '5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c001',
    '1.1.0', '{"outlier_threshold": 3}', '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z', '2025-07-21 09:00Z'),
  ('5eed0000-0000-4000-8000-00000000d002', '5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c001',
    '1.1.0', '{}', '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z', '2025-07-21 09:00Z');
update app_runs
set status = 'running', attempt = 1, executor_id = 'sample', started_at = '2025-07-21 09:00Z',
  lease_expires_at = now() + interval '1 hour'
where id = '5eed0000-0000-4000-8000-00000000d001';
update app_runs set status = 'success', completed_at = '2025-07-21 09:00:03Z' where id = '5eed0000-0000-4000-8000-00000000d001';

insert into app_outputs (id, run_id, company_id, output_type, output_name, output_data, output_bucket, output_path, created_at) values
  ('5eed0000-0000-4000-8000-00000000d011', '5eed0000-0000-4000-8000-00000000d001', '5eed0000-0000-4000-8000-00000000c001',
    'result', 'result', '{"regions": 4, "total": 1200}', null, null, '2025-07-21 09:00Z'),
  ('5eed0000-0000-4000-8000-00000000d012', '5eed0000-0000-4000-8000-00000000d001', '5eed0000-0000-4000-8000-00000000c001',
    'stdout', 'stdout.log', null, 'app-logs',
    'app_5eed0000-0000-4000-8000-00000000a001/runs/5eed0000-0000-4000-8000-00000000d001/stdout.log', '2025-07-21 09:00Z');

insert into app_cron_schedules (id, app_id, company_id, cron_expression, timezone, created_by, created_at) values
  ('5eed0000-0000-4000-8000-00000000e001', '5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c001',
    '30 6 * * mon-fri', 'Europe/Berlin', '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z');

insert into app_webhooks (id, app_id, company_id, name, secret_fingerprint, secret_rotated_at, created_by, created_at) values
  ('5eed0000-0000-4000-8000-00000000e011', '5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c001',
    'Orders', '0123456789abcdef', '2025-07-21 09:00Z', '5eed0000-0000-4000-8000-000000000001', '2025-07-21 09:00Z');
insert into app_webhooks (id, app_id, company_id, name, is_active) values
  ('5eed0000-0000-4000-8000-00000000e012', '5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c001',
    'Orders, before', false);
insert into private.app_webhook_secrets (webhook_id, secret)
values ('5eed0000-0000-4000-8000-00000000e012', sha256('sample'));
insert into app_webhook_deliveries (webhook_id, delivery_id, company_id, run_id, outcome, body_size, received_at, last_received_at) values
  ('5eed0000-0000-4000-8000-00000000e011', 'msg_1', '5eed0000-0000-4000-8000-00000000c001',
    '5eed0000-0000-4000-8000-00000000d001', 'enqueued', 18, '2025-07-21 09:00Z', '2025-07-21 09:00Z');

commit;

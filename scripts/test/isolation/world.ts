/**
 * Three companies, and everything that one of them can have, so that a stranger has something to look for: whatever table or
 * function there is, what it holds here is another tenant's.
 */
import { Client } from "pg";
import type { Stack } from "../../stack/mod.ts";
import {
  type AnyClient,
  createUser,
  serviceClient,
  startTestStack,
  type TestUser,
} from "../../testing/stack.ts";
import { buildArchive, GOOD_MANIFEST } from "../../../supabase/functions/tests/archives.ts";
import { checksumOf } from "../../../supabase/functions/tests/fixtures.ts";

export interface World {
  stack: Stack;
  service: AnyClient;
  /** As the operator, past everything: to learn what there is, and to see that it stayed as it was. */
  db: Client;
  /** Owner of the company that publishes all apps but one. */
  publisher: TestUser;
  publisherMember: TestUser;
  /** Owner and member of the company that is assigned `app`. */
  customer: TestUser;
  customerMember: TestUser;
  /** Was the customer's admin; the token is from then. */
  removed: TestUser;
  /** Owner of a company of their own, and of an app in it. */
  stranger: TestUser;
  /** In no company. */
  nobody: TestUser;
  publisherId: string;
  customerId: string;
  strangerId: string;
  strangerAppId: string;
  /** Private, assigned to the customer. */
  appId: string;
  /** Private, nobody's but the publisher's. */
  secretAppId: string;
  /** In the catalogue, assigned to nobody. */
  publicAppId: string;
  runId: string;
  pendingRunId: string;
  draftRunId: string;
  buildId: string;
  pendingBuildId: string;
  scheduleId: string;
  openUploadId: string;
  completedUploadId: string;
  openUpload: { path: string; token: string; signed_url: string };
  fileId: string;
  /** Of a download of that file. */
  tokenId: string;
  sourceId: string;
  draftFileId: string;
  outputId: string;
  permissionId: string;
  webhookId: string;
  logs: string[];
  stop(): Promise<void>;
}

export const PUBLISHED = "1.0.0";
export const DRAFT = "2.0.0";
/** Published, and nobody's to see but its company's. */
export const HIDDEN_PACKAGE = { namespace: "hidden", name: "package", version: "1.0.0" };
const STYLE = new TextEncoder().encode("a { color: red }\n");

/** A document of each kind in the manifest store. */
const MANIFESTS = `
  insert into public.handler_manifests (document)
  values ('{"handlerId": "hidden-handler", "version": "1.0.0", "createdAt": 1}');
  insert into public.hook_manifests (document) values ('{"handlerId": "hidden-handler"}');
  insert into public.gtypes (document) values ('{"ref": "hidden-type"}');
  insert into public.transformers (document) values ('{"id": "hidden-step", "handlerId": "hidden-handler"}');
  insert into public.version_graphs (document) values ('{"handlerId": "hidden-handler"}');
  insert into public.timescape_metadata (document) values ('{"handlerId": "hidden-handler", "version": "1.0.0"}');`;

type Answered<T> = { data: T; error: { message: string; code?: string } | null };

/** The data of an answer that must not be an error. */
export async function sure<T>(answer: PromiseLike<Answered<T>>): Promise<NonNullable<T>> {
  const { data, error } = await answer;
  if (error) throw new Error(`${error.code ?? ""} ${error.message}`, { cause: error });
  return data as NonNullable<T>;
}

export async function createWorld(): Promise<World> {
  const logs: string[] = [];
  const stack = await startTestStack({ seed: false, log: (line) => logs.push(line) });
  const db = new Client({ connectionString: stack.dbUrl });
  const stop = async () => {
    await db.end();
    await stack.stop();
  };
  try {
    await db.connect();
    return { ...await furnish(stack, db), logs, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function furnish(stack: Stack, db: Client): Promise<Omit<World, "logs" | "stop">> {
  const service = serviceClient(stack);
  const users = await Promise.all(
    ["pub", "pubmember", "cus", "cusmember", "removed", "stranger", "nobody"].map((name) =>
      createUser(stack, `${name}@example.com`)
    ),
  );
  const [publisher, publisherMember, customer, customerMember, removed, stranger, nobody] = users;
  const company = async (user: TestUser, slug: string): Promise<string> =>
    (await sure(user.client.rpc("create_company", { slug, name: slug }))).id;
  const [publisherId, customerId, strangerId] = await Promise.all([
    company(publisher, "publisher"),
    company(customer, "customer"),
    company(stranger, "stranger"),
  ]);
  await sure(
    service.from("company_members").insert([
      { company_id: publisherId, user_id: publisherMember.id, role: "member" },
      { company_id: customerId, user_id: customerMember.id, role: "member" },
    ]).select(),
  );

  const app = async (user: TestUser, slug: string, publisher_company_id: string, more = {}) =>
    (await sure(
      user.client.from("applications").insert({ slug, name: slug, publisher_company_id, ...more })
        .select().single(),
    )).id as string;
  const [appId, secretAppId, publicAppId, strangerAppId] = await Promise.all([
    app(publisher, "assigned", publisherId),
    app(publisher, "secret", publisherId),
    app(publisher, "catalogue", publisherId, { visibility: "public" }),
    app(stranger, "own", strangerId),
  ]);
  const archives = Object.fromEntries(
    [PUBLISHED, DRAFT].map((version) => [version, archive(version)]),
  );
  const source = { file_name: "app.zip", file_type: "source", content_type: "application/zip" };
  const style = { file_name: "main.css", file_type: "asset", content_type: "text/css" };
  const send = (app_id: string, version: string, kind: typeof source) =>
    upload(
      publisher,
      { app_id, version, ...kind },
      kind === source ? archives[version] : STYLE,
    );
  const [completedUploadId] = await Promise.all([
    send(appId, PUBLISHED, source),
    send(appId, PUBLISHED, style),
    send(appId, DRAFT, source),
    send(secretAppId, PUBLISHED, source),
    send(secretAppId, PUBLISHED, style),
    send(publicAppId, PUBLISHED, source),
    send(publicAppId, PUBLISHED, style),
  ]);
  await sure(
    publisher.client.from("app_versions").update({ status: "published" }).eq("version", PUBLISHED)
      .select(),
  );
  await sure(
    service.from("app_assignments").insert({ app_id: appId, company_id: customerId }).select(),
  );
  const open = await begin(
    publisher,
    { app_id: appId, version: DRAFT, ...style, file_name: "open.css" },
    STYLE,
  );
  await put(open.signed_url, STYLE, style.content_type);

  const store = (bucket: string, name: string, type: string) =>
    sure(
      service.storage.from(bucket).upload(name, new Blob(["secret\n"], { type }), {
        contentType: type,
      }) as never,
    );
  const build = await sure(
    publisher.client.from("app_builds").insert({ app_id: appId, build_version: PUBLISHED }).select()
      .single(),
  );
  await sure(service.rpc("claim_app_builds", { executor_id: "executor-1" }));
  const folder = `app_${appId}/builds/${build.id}`;
  await Promise.all([
    store("app-storage", `${folder}/build.tar.gz`, "application/gzip"),
    store("app-logs", `${folder}/build.log`, "text/plain"),
  ]);
  await sure(service.rpc("finish_app_build", {
    build_id: build.id,
    executor_id: "executor-1",
    status: "success",
    build_path: `${folder}/build.tar.gz`,
    file_size: 7,
    checksum: `sha256:${"0".repeat(64)}`,
    source_checksum: `sha256:${"0".repeat(64)}`,
  }));
  const pendingBuild = await sure(
    publisher.client.from("app_builds").insert({ app_id: appId, build_version: DRAFT }).select()
      .single(),
  );

  const run = await sure(
    customer.client.rpc("request_app_run", {
      app_id: appId,
      company_id: customerId,
      config: { secret: 1 },
    }),
  );
  await sure(service.rpc("claim_app_runs", { executor_id: "executor-1" }));
  const runFolder = `app_${appId}/runs/${run.id}`;
  await Promise.all([
    store("app-logs", `${runFolder}/stdout.log`, "text/plain"),
    store("app-storage", `${runFolder}/outputs/chart.svg`, "image/svg+xml"),
    // What a run that died may leave: no row names it.
    store("app-storage", `${runFolder}/outputs/orphan.json`, "application/json"),
  ]);
  const output = await sure(
    service.from("app_outputs").insert({
      run_id: run.id,
      output_type: "file",
      output_name: "chart.svg",
      output_bucket: "app-storage",
      output_path: `${runFolder}/outputs/chart.svg`,
    }).select().single(),
  );
  await sure(service.rpc("finish_app_run", {
    run_id: run.id,
    executor_id: "executor-1",
    status: "success",
    logs_path: `${runFolder}/stdout.log`,
  }));
  const [pendingRun, draftRun, schedule] = await Promise.all([
    sure(customer.client.rpc("request_app_run", { app_id: appId, company_id: customerId })),
    sure(publisher.client.rpc("request_app_run", {
      app_id: appId,
      company_id: publisherId,
      version: DRAFT,
      run_type: "test",
    })),
    sure(
      customer.client.from("app_cron_schedules").insert({
        app_id: appId,
        company_id: customerId,
        cron_expression: "0 0 1 1 *",
      }).select().single(),
    ),
  ]);
  await sure(
    service.from("app_cron_skips").insert({
      schedule_id: schedule.id,
      company_id: customerId,
      first_due_at: "2025-01-01T00:00:00Z",
      last_due_at: "2025-01-01T00:00:00Z",
      reason: "missed",
      message: "Nothing ticked at that time.",
    }).select(),
  );
  await sure(
    customer.client.from("retention_policies").insert({
      company_id: customerId,
      app_id: appId,
      kind: "logs",
      keep_days: 7,
    }).select(),
  );
  const webhook = await sure(
    customer.client.rpc("create_app_webhook", {
      app_id: appId,
      company_id: customerId,
      name: "Orders",
    }),
  );
  await sure(
    service.from("app_webhook_deliveries").insert({
      webhook_id: webhook.webhook_id,
      delivery_id: "delivery-1",
      company_id: customerId,
      run_id: run.id,
      outcome: "enqueued",
      body_size: 2,
    }).select(),
  );
  const permission = await sure(
    service.from("app_permissions").insert({
      app_id: appId,
      permission_type: "custom",
      permission_value: "whole",
    }).select().single(),
  );
  await sure(
    service.from("superadmins").insert({ user_id: (await createUser(stack)).id }).select(),
  );

  await sure(
    service.from("company_members").insert({
      company_id: customerId,
      user_id: removed.id,
      role: "admin",
    }).select(),
  );
  await sure(removed.client.from("app_runs").select());
  await sure(service.from("company_members").delete().eq("user_id", removed.id).select());

  await sure(
    publisher.client.from("package_namespaces").insert({
      name: HIDDEN_PACKAGE.namespace,
      company_id: publisherId,
    }),
  );
  const content = "name: hidden\n";
  await sure(service.rpc("publish_package", {
    actor: publisher.id,
    ...HIDDEN_PACKAGE,
    sha256: (await checksumOf(new TextEncoder().encode(content))).slice("sha256:".length),
    size: content.length,
    yaml_content: content,
    dependencies: [
      {
        namespace: HIDDEN_PACKAGE.namespace,
        name: "other",
        range: "^1.0.0",
        source: "yaml",
        resolution: "package",
      },
    ],
    files: [{
      path: "a.txt",
      content,
      sha256: (await checksumOf(new TextEncoder().encode(content))).slice("sha256:".length),
      size: content.length,
    }],
  }));

  await db.query(MANIFESTS);
  await db.query("insert into public.manifest_readers (user_id) values ($1)", [publisher.id]);
  // Operators change it in SQL; the test asks more than people do.
  await db.query("update private.api_rate_policies set requests = 1000000");

  const files = await sure(service.from("app_storage").select());
  const file = (app: string, version: string, type: string): string =>
    files.find((row) => row.app_id === app && row.version === version && row.file_type === type)!
      .id;
  const fileId = file(appId, PUBLISHED, "asset");
  // A link leaves a line in the log of downloads.
  await sure(customer.client.functions.invoke("downloads", { body: { file_id: fileId } }));
  const token = await sure(
    customer.client.functions.invoke("downloads/tokens", { body: { file_id: fileId } }),
  );
  return {
    stack,
    service,
    db,
    publisher,
    publisherMember,
    customer,
    customerMember,
    removed,
    stranger,
    nobody,
    publisherId,
    customerId,
    strangerId,
    strangerAppId,
    appId,
    secretAppId,
    publicAppId,
    runId: run.id,
    pendingRunId: pendingRun.id,
    draftRunId: draftRun.id,
    buildId: build.id,
    pendingBuildId: pendingBuild.id,
    scheduleId: schedule.id,
    openUploadId: open.upload.id,
    completedUploadId,
    openUpload: { path: open.path, token: open.token, signed_url: open.signed_url },
    fileId,
    tokenId: token.id ?? token.token.id,
    sourceId: file(appId, PUBLISHED, "source"),
    draftFileId: file(appId, DRAFT, "source"),
    outputId: output.id,
    permissionId: permission.id,
    webhookId: webhook.webhook_id,
  };
}

function archive(version: string): Uint8Array<ArrayBuffer> {
  const manifest = {
    ...GOOD_MANIFEST,
    version,
    permissions: [{ type: "network", scope: "example.com", required: true }],
  };
  return buildArchive({
    format: "zip",
    entries: [
      { name: "manifest.json", text: JSON.stringify(manifest) },
      { name: "index.js", text: "1" },
    ],
  });
}

/** Begins an upload of these bytes; the answer of the function. */
export async function begin(
  user: TestUser,
  declared: Record<string, string>,
  bytes: Uint8Array<ArrayBuffer>,
) {
  return await sure(
    user.client.functions.invoke("uploads", {
      body: { ...declared, file_size: bytes.length, checksum: await checksumOf(bytes) },
    }),
  );
}

export async function put(url: string, bytes: BodyInit, contentType: string): Promise<Response> {
  const sent = await fetch(url, {
    method: "PUT",
    headers: { "content-type": contentType },
    body: bytes,
  });
  await sent.body?.cancel();
  return sent;
}

/** Uploads a file as a publisher does; the upload's id. */
async function upload(
  user: TestUser,
  declared: Record<string, string>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const begun = await begin(user, declared, bytes);
  await put(begun.signed_url, bytes, declared.content_type);
  await sure(
    user.client.functions.invoke(`uploads/${begun.upload.id}/complete`, { method: "POST" }),
  );
  return begun.upload.id;
}

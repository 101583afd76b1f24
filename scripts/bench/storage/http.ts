/** Requests a second through the functions, beside the same question asked of REST directly. */
import {
  call,
  createApp,
  createWorld,
  declare,
  upload,
  type World,
} from "../../../supabase/functions/tests/world.ts";
import { buildArchive } from "../../../supabase/functions/tests/archives.ts";
import { median, percentile } from "../queue/statistics.ts";

export interface RequestRate {
  request: string;
  /** Requests a second, from this many clients at once. */
  rate: number;
  clients: number;
  /** Milliseconds, of one client by itself. */
  p50: number;
  p99: number;
}

const CLIENTS = 16;

interface Endpoint {
  request: string;
  url: string;
  body?: unknown;
}

export async function measureRequests(
  quick: boolean,
  tell: (line: string) => void,
): Promise<RequestRate[]> {
  const world = await createWorld();
  try {
    const endpoints = await prepare(world);
    const rates: RequestRate[] = [];
    for (const endpoint of endpoints) {
      rates.push(await measure(world, endpoint, quick ? 50 : 1_000));
      tell(endpoint.request);
    }
    return rates;
  } finally {
    await world.stop();
  }
}

/** A released app with a file, and runs of it. */
async function prepare(world: World): Promise<Endpoint[]> {
  const { publisher, companyId, service, stack } = world;
  const appId = await createApp(publisher, companyId);
  const bytes = buildArchive({
    format: "zip",
    entries: [{ name: "manifest.json", manifest: true }, { name: "index.js", text: "1" }],
  });
  const begin = await declare(world, bytes, { app_id: appId });
  const stored = await upload(world, publisher, begin, new Blob([bytes]));
  const fileId = stored.body.file.id as string;
  await publisher.client.from("app_versions").update({ status: "published" }).eq("app_id", appId);
  const rows = Array.from({ length: 50 }, () => ({ app_id: appId, company_id: companyId }));
  const { error } = await service.from("app_runs").insert(rows);
  if (error) throw error;
  const functions = `${stack.apiUrl}/functions/v1`;
  const rest = `${stack.apiUrl}/rest/v1`;
  const manifest = {
    name: "bench",
    version: "1.0.0",
    type: "backend",
    author: "x",
    description: "x",
  };
  const checked = await call(world, publisher, "manifests/validate", { json: manifest });
  return [
    { request: "REST: a file by id", url: `${rest}/app_storage?id=eq.${fileId}` },
    {
      request: "Storage: one signed URL",
      url: `${stack.apiUrl}/storage/v1/object/sign/app-storage/${stored.body.file.file_path}`,
      body: { expiresIn: 60 },
    },
    { request: "downloads: one link", url: `${functions}/downloads`, body: { file_id: fileId } },
    {
      request: "downloads: fifty links",
      url: `${functions}/downloads`,
      body: { items: Array.from({ length: 50 }, () => ({ file_id: fileId })) },
    },
    ...(checked.status < 500
      ? [{
        request: "manifests: validate",
        url: `${functions}/manifests/validate`,
        body: manifest,
      }]
      : []),
    {
      request: "REST: 50 runs of an app",
      url: `${rest}/app_runs?app_id=eq.${appId}&order=created_at.desc,id.desc&limit=50`,
    },
    { request: "api: 50 runs of an app", url: `${functions}/api/apps/${appId}/runs?limit=50` },
  ];
}

async function measure(world: World, endpoint: Endpoint, count: number): Promise<RequestRate> {
  const headers = {
    apikey: world.stack.publishableKey,
    authorization: `Bearer ${world.publisher.accessToken}`,
    ...(endpoint.body !== undefined && { "content-type": "application/json" }),
  };
  const ask = async () => {
    const response = await fetch(endpoint.url, {
      method: endpoint.body === undefined ? "GET" : "POST",
      headers,
      body: endpoint.body === undefined ? undefined : JSON.stringify(endpoint.body),
    });
    const text = await response.text();
    if (response.status === 429) return false;
    if (!response.ok) throw new Error(`${endpoint.request}: ${response.status} ${text}`);
    return true;
  };
  for (let warm = 0; warm < 20; warm++) await ask();
  const alone: number[] = [];
  for (let index = 0; index < Math.min(count, 200); index++) {
    const start = performance.now();
    if (await ask()) alone.push(performance.now() - start);
  }
  let asked = 0;
  let answered = 0;
  const start = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (asked++ < count) if (await ask()) answered++;
  }));
  const seconds = (performance.now() - start) / 1000;
  return {
    request: endpoint.request,
    rate: answered / seconds,
    clients: CLIENTS,
    p50: median(alone),
    p99: percentile(alone, 0.99),
  };
}

/** A package registry on this machine, with packages that tests make up. */
import { createHash } from "node:crypto";
import { type Entry, gzip, tar } from "./archive_builders.ts";

export interface Package {
  name: string;
  version: string;
  files: Record<string, string | Uint8Array>;
  /** More of its package.json. */
  manifest?: Record<string, unknown>;
}

export interface Registry {
  url: string;
  /** Paths that were asked for. */
  asked: string[];
  /** While true, every request waits until it is closed. */
  hanging: boolean;
  /** How many requests for packages are answered with 404, as if they were not there yet. */
  late: number;
  integrity(name: string, version: string): string;
  close(): Promise<void>;
}

/** @param token what requests must bring, if given */
export function startRegistry(packages: Package[], token?: string): Registry {
  const tarballs = new Map<string, { bytes: Uint8Array; integrity: string }>();
  const documents = new Map<string, Record<string, unknown>>();
  const closing = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = decodeURIComponent(new URL(request.url).pathname);
      registry.asked.push(path);
      if (registry.hanging) {
        await new Promise((resolve) => closing.signal.addEventListener("abort", resolve));
      }
      if (token && request.headers.get("authorization") !== `Bearer ${token}`) {
        return Response.json({ error: "who are you?" }, { status: 401 });
      }
      const tarball = tarballs.get(path);
      if (tarball) return new Response(tarball.bytes as Uint8Array<ArrayBuffer>);
      const document = registry.late-- > 0 ? undefined : documents.get(path.slice(1));
      return document
        ? Response.json(document)
        : Response.json({ error: "not found" }, { status: 404 });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  for (const { name, version, files, manifest } of packages) {
    const description = { name, version, ...manifest };
    const entries: Entry[] = Object.entries({
      "package.json": JSON.stringify(description),
      ...files,
    }).map(([file, content]) => ({ name: `package/${file}`, content }));
    const bytes = gzip(tar(entries));
    const path = `/${name}/-/${name.split("/").pop()}-${version}.tgz`;
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    tarballs.set(path, { bytes, integrity });
    const document = documents.get(name) ?? { name, "dist-tags": {}, versions: {}, time: {} };
    (document["dist-tags"] as Record<string, string>).latest = version;
    (document.time as Record<string, string>)[version] = "2025-01-01T00:00:00.000Z";
    (document.versions as Record<string, unknown>)[version] = {
      ...description,
      dist: { tarball: `${url}${path}`, integrity },
    };
    documents.set(name, document);
  }
  const registry: Registry = {
    url: `${url}/`,
    asked: [],
    hanging: false,
    late: 0,
    integrity: (name, version) =>
      tarballs.get(`/${name}/-/${name.split("/").pop()}-${version}.tgz`)!.integrity,
    async close() {
      closing.abort();
      await server.shutdown();
    },
  };
  return registry;
}

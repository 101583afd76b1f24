/** An egress proxy in a process with few descriptors: prints its path, and ends when its input does. */
import { join } from "node:path";
import { parseGrant } from "../../../supabase/functions/_shared/manifest/network_scopes.ts";
import { startEgressProxy } from "../egress/proxy.ts";

const folder = await Deno.makeTempDir();
const socket = join(folder, "egress.sock");
const grant = parseGrant("api.example.com");
if (typeof grant === "string") throw new Error(grant);
const proxy = await startEgressProxy({ socket, grants: [grant] });
console.log(socket);
await Deno.stdin.readable.pipeTo(new WritableStream());
await proxy.close();
await Deno.remove(folder, { recursive: true });

/** The order of steps that makes an upload a file: it may stop anywhere, and be repeated. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { AppError } from "../_shared/errors.ts";
import { verifyingPath } from "../_shared/storage_paths.ts";
import { completeUpload } from "../uploads/completion.ts";
import type { CallerStore, ServiceStore, StoredFile, Upload } from "../uploads/store.ts";
import { checksumOf } from "./fixtures.ts";

const FINAL = "app_1/1.0.0/data.bin";
const STAGED = "app_1/staging/u1";
const EARLIER = Uint8Array.of(9, 9, 9);
const CONTENT = Uint8Array.of(1, 2, 3, 4);

/** The database's and Storage's side of one upload, in memory; any call may be the last that the process makes. */
class Backend {
  objects = new Map<string, Uint8Array<ArrayBuffer>>();
  row?: { checksum: string };
  /** What the database has queued for deletion. */
  queued: string[] = [];
  /** The database takes nothing of it, whatever the inspection said. */
  refuses = false;
  upload: Upload;
  calls = 0;

  constructor(checksum: string) {
    this.upload = {
      id: "u1",
      status: "pending",
      file_name: "data.bin",
      file_type: "asset",
      content_type: "application/octet-stream",
      file_size: CONTENT.length,
      checksum,
      version: "1.0.0",
      file_path: FINAL,
      staging_path: STAGED,
    } as Upload;
  }

  /** A request's view of the backend. After `lastCall` calls, its process is dead: every further call fails. */
  request(lastCall = Infinity): { caller: CallerStore; service: ServiceStore } {
    let left = lastCall;
    const mortal = <T extends object>(target: T): T =>
      new Proxy(target, {
        get: (object, name) => {
          const method = Reflect.get(object, name) as (...args: unknown[]) => unknown;
          return (...args: unknown[]) => {
            if (left-- <= 0) {
              return name === "source" ? this.#deadSource() : Promise.reject(new Error("dead"));
            }
            this.calls++;
            return method.apply(object, args);
          };
        },
      });
    return { caller: mortal(this.#caller()), service: mortal(this.#service()) };
  }

  #deadSource() {
    const dead = () => Promise.reject(new Error("dead"));
    return { size: CONTENT.length, read: dead, stream: dead };
  }

  #caller(): CallerStore {
    return {
      begin: () => Promise.reject(new Error("not here")),
      cancel: () => Promise.reject(new Error("not here")),
      find: () => Promise.resolve({ ...this.upload }),
      startVerification: () => {
        // The lease of a request that died has run out.
        if (this.upload.status === "failed") return Promise.reject(new AppError("upload_over"));
        if (this.upload.status !== "completed") this.upload.status = "verifying";
        return Promise.resolve({ ...this.upload });
      },
    };
  }

  #service(): ServiceStore {
    const file = () => ({ id: "f1", checksum: this.row?.checksum }) as StoredFile;
    return {
      check: () =>
        this.refuses ? Promise.reject(new AppError("invalid_request")) : Promise.resolve(),
      complete: () => {
        if (this.refuses) return Promise.reject(new AppError("invalid_request"));
        this.row = { checksum: this.upload.checksum };
        this.upload.status = "completed";
        this.upload.file_id = "f1";
        this.queued.push(STAGED, verifyingPath(STAGED));
        return Promise.resolve(file());
      },
      fail: (_id, code) => {
        this.upload.status = "failed";
        this.upload.error_code = code;
        return Promise.resolve();
      },
      release: () => {
        if (this.upload.status === "verifying") this.upload.status = "pending";
        return Promise.resolve();
      },
      file: () => Promise.resolve(file()),
      isRecorded: () => Promise.resolve(this.row !== undefined),
      sweep: () => Promise.resolve(),
      signUpload: () => Promise.reject(new Error("not here")),
      put: () => Promise.reject(new Error("not here")),
      sizeOf: (path) => Promise.resolve(this.objects.get(path)?.length ?? null),
      move: (from, to) => {
        const bytes = this.objects.get(from);
        if (!bytes) return Promise.resolve("missing");
        if (this.objects.has(to)) return Promise.resolve("exists");
        this.objects.set(to, bytes);
        this.objects.delete(from);
        return Promise.resolve("moved");
      },
      copyOver: (from, to) => {
        this.objects.set(to, this.objects.get(from)!);
        return Promise.resolve();
      },
      remove: (paths) => {
        for (const path of paths) this.objects.delete(path);
        return Promise.resolve();
      },
      source: (path) => ({
        size: this.objects.get(path)!.length,
        read: () => Promise.reject(new Error("not here")),
        stream: () => Promise.resolve(ReadableStream.from([this.objects.get(path)!])),
      }),
    };
  }
}

async function attempt(backend: Backend, lastCall?: number): Promise<string> {
  const { caller, service } = backend.request(lastCall);
  try {
    await completeUpload("u1", caller, service);
    return "completed";
  } catch (error) {
    return error instanceof AppError ? error.code : String(error);
  }
}

for (const replaces of [false, true]) {
  Deno.test(`a request may die after any step${replaces ? ", replacing a file" : ""}: repeating it completes the upload`, async () => {
    const prepare = async () => {
      const backend = new Backend(await checksumOf(CONTENT));
      backend.objects.set(STAGED, CONTENT);
      if (replaces) {
        backend.objects.set(FINAL, EARLIER);
        backend.row = { checksum: await checksumOf(EARLIER) };
      }
      return backend;
    };
    const whole = await prepare();
    assertEquals(await attempt(whole), "completed");
    assert(whole.calls > 5);
    for (let lastCall = 0; lastCall < whole.calls; lastCall++) {
      const backend = await prepare();
      const first = await attempt(backend, lastCall);
      assert(
        first !== "completed" || backend.row?.checksum === backend.upload.checksum,
        `after ${lastCall} calls`,
      );
      assertEquals(await attempt(backend), "completed", `after ${lastCall} calls`);
      assertEquals(backend.row?.checksum, backend.upload.checksum);
      for (const path of backend.queued) backend.objects.delete(path);
      assertEquals([...backend.objects], [[FINAL, CONTENT]], `after ${lastCall} calls`);
    }
  });
}

Deno.test("a request may die while it refuses a file: repeating it refuses the file, or says that it is over", async () => {
  const prepare = async () => {
    const backend = new Backend(await checksumOf(EARLIER));
    backend.objects.set(STAGED, CONTENT);
    return backend;
  };
  const whole = await prepare();
  assertEquals(await attempt(whole), "checksum_mismatch");
  assertEquals([whole.upload.status, [...whole.objects]], ["failed", []]);
  for (let lastCall = 0; lastCall < whole.calls; lastCall++) {
    const backend = await prepare();
    await attempt(backend, lastCall);
    const again = await attempt(backend);
    // Once the object is gone, the upload waits for the right one.
    assert(
      ["checksum_mismatch", "upload_over", "upload_not_received"].includes(again),
      `${again} after ${lastCall} calls`,
    );
    assertEquals([...backend.objects], [], `after ${lastCall} calls`);
    assertEquals(backend.row, undefined);
  }
});

Deno.test("without a new object, a draft's earlier file is neither taken nor harmed", async () => {
  const backend = new Backend(await checksumOf(CONTENT));
  const other = Uint8Array.of(5, 6, 7, 8);
  backend.objects.set(FINAL, other);
  backend.row = { checksum: await checksumOf(other) };
  assertEquals(await attempt(backend), "upload_not_received");
  assertEquals([backend.upload.status, [...backend.objects]], ["pending", [[FINAL, other]]]);
});

Deno.test("what the database refuses does not take the place of a draft's earlier file", async () => {
  const backend = new Backend(await checksumOf(CONTENT));
  backend.objects.set(STAGED, CONTENT);
  backend.objects.set(FINAL, EARLIER);
  backend.row = { checksum: await checksumOf(EARLIER) };
  backend.refuses = true;
  assertEquals(await attempt(backend), "invalid_request");
  assertEquals([backend.upload.status, [...backend.objects]], ["failed", [[FINAL, EARLIER]]]);
});

Deno.test("what arrives at the staging path after the file was secured is not looked at, and removed", async () => {
  const backend = new Backend(await checksumOf(CONTENT));
  backend.objects.set(verifyingPath(STAGED), CONTENT);
  backend.objects.set(STAGED, EARLIER);
  assertEquals(await attempt(backend), "completed");
  assertEquals([...backend.objects], [[FINAL, CONTENT]]);
});

Deno.test("a verification that takes too long lets go, and may be repeated", async () => {
  const backend = new Backend(await checksumOf(CONTENT));
  backend.objects.set(STAGED, CONTENT);
  const { caller, service } = backend.request();
  const late = await completeUpload("u1", caller, service, AbortSignal.abort()).catch((error) =>
    error
  );
  assertEquals([late.code, backend.upload.status, backend.row], [
    "unavailable",
    "pending",
    undefined,
  ]);
  assertEquals(await attempt(backend), "completed");
});

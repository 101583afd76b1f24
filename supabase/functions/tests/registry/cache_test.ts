import { assert, assertEquals, assertNotEquals } from "../../../../scripts/testing/assert.ts";
import { Cache } from "../../_shared/cache/cache.ts";
import { MemoryBackend } from "../../_shared/cache/memory.ts";
import { RedisBackend } from "../../_shared/cache/redis.ts";
import { redisServer, startRedis, until } from "./instance.ts";

const MINUTE = 60_000;
/** How many ask for the same at once. */
const ASKING = 50;
const cacheable = <T>(value: T) => () => Promise.resolve({ value, cacheable: true });

Deno.test("memory: a value is loaded once, until its time is over", async () => {
  let now = 0;
  const cache = new Cache(new MemoryBackend(10_000, () => now));
  let loads = 0;
  const load = () => Promise.resolve({ value: ++loads, cacheable: true });
  assertEquals(await cache.get("k", "t", MINUTE, load), { value: 1, hit: false });
  assertEquals(await cache.get("k", "t", MINUTE, load), { value: 1, hit: true });
  now = MINUTE;
  assertEquals(await cache.get("k", "t", MINUTE, load), { value: 2, hit: false });
  assertEquals((await cache.stats()).hits, 1);
});

Deno.test("memory: the least recently used goes first, and bytes never exceed the limit", async () => {
  const backend = new MemoryBackend(2_000);
  const cache = new Cache(backend);
  const text = "x".repeat(300);
  for (const key of ["a", "b", "c"]) await cache.get(key, key, MINUTE, cacheable(text));
  assertEquals((await cache.get("a", "a", MINUTE, cacheable("again"))).hit, true);
  await cache.get("d", "d", MINUTE, cacheable(text));
  assertEquals(await cache.peek("b", "b"), undefined);
  assert(await cache.peek("a", "a"));
  assertEquals((await cache.stats()).evictions, 1);
  await cache.get("huge", "huge", MINUTE, cacheable("x".repeat(3_000)));
  assertEquals(await cache.peek("huge", "huge"), undefined);
  for (let index = 0; index < 1_000; index++) {
    await cache.get(`k${index}`, "many", MINUTE, cacheable("x".repeat(index)));
    const { bytes } = await cache.stats();
    assert(bytes! <= 2_000, `${bytes}`);
  }
  await cache.invalidate();
  const { bytes, entries } = await cache.stats();
  assertEquals([bytes, entries], [0, 0]);
});

Deno.test("memory: invalidating a tag forgets its keys and no others", async () => {
  const cache = new Cache(new MemoryBackend(100_000));
  await cache.get("a1", "a", MINUTE, cacheable(1));
  await cache.get("a2", "a", MINUTE, cacheable(2));
  await cache.get("b", "b", MINUTE, cacheable(3));
  await cache.invalidate("a");
  assertEquals([await cache.peek("a1", "a"), await cache.peek("a2", "a")], [undefined, undefined]);
  assert(await cache.peek("b", "b"));
});

const backends = {
  memory: () => Promise.resolve({ backend: new MemoryBackend(1e6), stop: async () => {} }),
};

async function redisBackend() {
  const redis = await startRedis();
  const backend = new RedisBackend(redis.url);
  await until(() => backend.look("k", "t").then(() => true, () => false), "Redis answers");
  return {
    backend,
    stop: async () => {
      await backend.close();
      await redis.stop();
    },
  };
}

for (const [name, start] of Object.entries({ ...backends, redis: redisBackend })) {
  Deno.test({
    name: `${name}: what was being loaded when it changed is not kept`,
    ignore: name === "redis" && !redisServer,
    sanitizeResources: false,
    sanitizeOps: false,
    fn: async () => {
      const { backend, stop } = await start();
      try {
        const cache = new Cache(backend);
        const started = Promise.withResolvers<void>();
        const finish = Promise.withResolvers<void>();
        const stale = cache.get("k", "t", MINUTE, async () => {
          started.resolve();
          await finish.promise;
          return { value: "old", cacheable: true };
        });
        await started.promise;
        await cache.invalidate("t");
        const fresh = await cache.get("k", "t", MINUTE, cacheable("new"));
        finish.resolve();
        assertEquals((await stale).value, "old");
        assertEquals(fresh.value, "new");
        assertNotEquals((await cache.peek<string>("k", "t"))?.value, "old");
        await cache.invalidate();
        assertEquals(await cache.peek("k", "t"), undefined);
      } finally {
        await stop();
      }
    },
  });

  Deno.test({
    name: `${name}: many who miss at once load once; what is not cacheable is not kept`,
    ignore: name === "redis" && !redisServer,
    sanitizeResources: false,
    sanitizeOps: false,
    fn: async () => {
      const { backend, stop } = await start();
      try {
        const cache = new Cache(backend);
        let loads = 0;
        const load = async () => {
          loads++;
          // Nobody is late, however slow the machine is.
          await until(async () => (await cache.stats()).misses === ASKING, "all have missed");
          return { value: "v", cacheable: true };
        };
        await Promise.all(Array.from({ length: ASKING }, () => cache.get("k", "t", MINUTE, load)));
        assertEquals(loads, 1);
        await cache.get(
          "private",
          "t",
          MINUTE,
          () => Promise.resolve({ value: "p", cacheable: false }),
        );
        assertEquals(await cache.peek("private", "t"), undefined);
      } finally {
        await stop();
      }
    },
  });
}

/** Passes bytes on, unless the connection is from a time when it was told to swallow them. */
function startSwallower(target: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  const state = { swallows: false };
  const pass = async (from: Deno.Conn, to: Deno.Conn) => {
    const buffer = new Uint8Array(4096);
    try {
      for (let read = await from.read(buffer); read; read = await from.read(buffer)) {
        if (!lost.has(from) && !lost.has(to)) await to.write(buffer.slice(0, read));
      }
    } catch {
      // It is closed.
    }
  };
  const lost = new Set<Deno.Conn>();
  (async () => {
    for await (const connection of listener) {
      const other = await Deno.connect({ hostname: "127.0.0.1", port: target });
      connections.push(connection, other);
      if (state.swallows) lost.add(connection);
      pass(connection, other);
      pass(other, connection);
    }
  })();
  return {
    url: `redis://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    /** From now on nothing comes through, and nobody is told. */
    swallow() {
      state.swallows = true;
      for (const connection of connections) lost.add(connection);
    },
    /** New connections work; those that were lost stay so. */
    recover: () => state.swallows = false,
    stop() {
      listener.close();
      for (const connection of connections) {
        try {
          connection.close();
        } catch {
          // It is closed already.
        }
      }
    },
  };
}

Deno.test({
  name:
    "redis: a connection that is dead without a word is got over, and replaced when Redis is back",
  ignore: !redisServer,
  sanitizeResources: false,
  sanitizeOps: false,
  fn: async () => {
    const redis = await startRedis();
    const between = startSwallower(redis.port);
    const cache = new Cache(new RedisBackend(between.url));
    const isUsed = async () => {
      await cache.get("k", "t", MINUTE, cacheable("v"));
      return (await cache.peek("k", "t"))?.hit === true;
    };
    try {
      await until(isUsed, "it is used");
      between.swallow();
      assertEquals(await cache.get("k", "t", MINUTE, cacheable("loaded")), {
        value: "loaded",
        hit: false,
      });
      between.recover();
      await until(isUsed, "it is used again");
    } finally {
      await cache.close();
      between.stop();
      await redis.stop();
    }
  },
});

Deno.test({
  name: "redis: two instances share entries and invalidations, and a dead Redis is got over",
  ignore: !redisServer,
  sanitizeResources: false,
  sanitizeOps: false,
  fn: async () => {
    const redis = await startRedis();
    const [one, two] = [
      new Cache(new RedisBackend(redis.url)),
      new Cache(new RedisBackend(redis.url)),
    ];
    let again: { stop(): Promise<void> } | undefined;
    try {
      await until(async () => {
        await one.get("k", "t", MINUTE, cacheable("v"));
        return (await two.peek("k", "t"))?.hit === true;
      }, "both are connected");
      await until(async () => {
        const { errors } = await two.stats();
        await two.invalidate("t");
        return (await two.stats()).errors === errors;
      }, "Redis is told in time");
      assertEquals(await one.peek("k", "t"), undefined);
      await redis.stop();
      for (let round = 0; round < 20; round++) {
        const started = performance.now();
        assertEquals(await one.get("k", "t", MINUTE, cacheable("loaded")), {
          value: "loaded",
          hit: false,
        });
        assert(performance.now() - started < 5_000);
      }
      await one.invalidate("t");
      assert((await one.stats()).errors > 0);
      again = await startRedis(redis.port);
      await until(async () => {
        await one.get("k2", "t", MINUTE, cacheable("v"));
        return (await one.peek("k2", "t"))?.hit === true;
      }, "it is used again");
    } finally {
      await Promise.all([one.close(), two.close()]);
      await again?.stop();
      await redis.stop();
    }
  },
});

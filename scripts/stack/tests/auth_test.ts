import { createClient } from "@supabase/supabase-js";
import { assert, assertEquals, assertExists, assertMatch } from "../../testing/assert.ts";
import {
  anonClient,
  createUser,
  serviceClient,
  startTestStack,
  TEST_PASSWORD,
} from "../../testing/stack.ts";

Deno.test("the Auth API", async (t) => {
  const mails: string[] = [];
  const stack = await startTestStack({
    functions: false,
    log: (line) => line.startsWith("mail to") && mails.push(line),
  });
  try {
    const { admin } = serviceClient(stack).auth;

    await t.step("signing up signs in, and the token says who", async () => {
      const client = anonClient(stack);
      const { data, error } = await client.auth.signUp({
        email: "Ann@Example.com",
        password: TEST_PASSWORD,
        options: { data: { nickname: "ann" } },
      });
      assertEquals(error, null);
      assertExists(data.session);
      const { data: verified, error: invalid } = await client.auth.getClaims();
      assertEquals(invalid, null);
      assertEquals(verified?.header.alg, "ES256");
      const claims = verified!.claims;
      assertEquals(claims.sub, data.user!.id);
      assertEquals(claims.role, "authenticated");
      assertEquals(claims.aud, "authenticated");
      assertEquals(claims.iss, `${stack.apiUrl}/auth/v1`);
      assertEquals(claims.email, "ann@example.com");
      assertEquals(claims.app_metadata, { provider: "email", providers: ["email"] });
      assertEquals(claims.user_metadata?.nickname, "ann");
      assertEquals([claims.aal, claims.is_anonymous], ["aal1", false]);
      assertExists(claims.session_id);
    });

    await t.step("an address signs up once, a short password not at all", async () => {
      const { auth } = anonClient(stack);
      const again = await auth.signUp({ email: "ann@example.com", password: TEST_PASSWORD });
      assertEquals([again.error?.status, again.error?.code], [422, "user_already_exists"]);
      const short = await auth.signUp({ email: "bob@example.com", password: "1234567" });
      assertEquals([short.error?.status, short.error?.code], [422, "weak_password"]);
    });

    await t.step("a wrong password is refused", async () => {
      const { error } = await anonClient(stack).auth.signInWithPassword({
        email: "ann@example.com",
        password: "wrong wrong",
      });
      assertEquals([error?.status, error?.code], [400, "invalid_credentials"]);
    });

    await t.step("sessions refresh once, and end with signing out", async () => {
      const user = await createUser(stack);
      const { data: { session: before } } = await user.client.auth.getSession();
      const { data, error } = await user.client.auth.refreshSession();
      assertEquals(error, null);
      assert(data.session!.refresh_token !== before!.refresh_token);
      assertEquals((await user.client.auth.getUser()).data.user?.id, user.id);
      assertEquals((await user.client.auth.signOut()).error, null);
      const ended = await anonClient(stack).auth.refreshSession(data.session!);
      assertEquals(ended.error?.status, 400);
    });

    await t.step("users change their own metadata, and the next token tells", async () => {
      const user = await createUser(stack);
      const { data } = await user.client.auth.updateUser({ data: { theme: "dark" } });
      assertEquals(data.user?.user_metadata.theme, "dark");
      await user.client.auth.refreshSession();
      const { data: verified } = await user.client.auth.getClaims();
      assertEquals(verified?.claims.user_metadata?.theme, "dark");
    });

    await t.step("the service creates users, with metadata that they cannot change", async () => {
      const { data, error } = await admin.createUser({
        email: "Carol@example.com",
        password: TEST_PASSWORD,
        email_confirm: true,
        app_metadata: { plan: "gold" },
        user_metadata: { nickname: "carol" },
      });
      assertEquals(error, null);
      const user = data.user!;
      assertEquals(user.email, "carol@example.com");
      assertEquals(user.app_metadata, { provider: "email", providers: ["email"], plan: "gold" });
      assertEquals(user.identities?.map((identity) => identity.provider), ["email"]);
      assertMatch(user.created_at, /^\d{4}-\d\d-\d\dT.*Z$/);
      const session = await anonClient(stack).auth.signInWithPassword({
        email: "carol@example.com",
        password: TEST_PASSWORD,
      });
      assertEquals(session.error, null);
      const taken = await admin.createUser({ email: "carol@example.com" });
      assertEquals([taken.error?.status, taken.error?.code], [422, "email_exists"]);
      const invalid = await admin.createUser({ email: "nobody" });
      assertEquals([invalid.error?.status, invalid.error?.code], [400, "validation_failed"]);
    });

    await t.step("a user that is not confirmed does not sign in", async () => {
      await admin.createUser({ email: "dave@example.com", password: TEST_PASSWORD });
      const { error } = await anonClient(stack).auth.signInWithPassword({
        email: "dave@example.com",
        password: TEST_PASSWORD,
      });
      assertEquals([error?.status, error?.code], [400, "email_not_confirmed"]);
    });

    await t.step("users are listed by pages, found, changed and deleted", async () => {
      const user = await createUser(stack);
      const first = await admin.listUsers({ page: 1, perPage: 2 });
      assertEquals(first.data.users.length, 2);
      assertEquals(first.data.users[0].id, user.id);
      assert("total" in first.data && first.data.total >= 4);
      assertEquals("nextPage" in first.data && first.data.nextPage, 2);

      assertEquals((await admin.getUserById(user.id)).data.user?.email, user.email);
      const changed = await admin.updateUserById(user.id, {
        email: `new-${user.email}`,
        password: "another password",
        app_metadata: { plan: "silver" },
        user_metadata: { nickname: "eve" },
        ban_duration: "1h30m",
      });
      assertEquals(changed.error, null);
      const after = changed.data.user! as typeof changed.data.user & { banned_until: string };
      assertEquals(after.email, `new-${user.email}`);
      assertEquals([after.app_metadata.plan, after.user_metadata.nickname], ["silver", "eve"]);
      assert(Date.parse(after.banned_until) > Date.now() + 80 * 60_000);
      const session = await anonClient(stack).auth.signInWithPassword({
        email: `new-${user.email}`,
        password: "another password",
      });
      assertEquals([session.error?.status, session.error?.code], [400, "user_banned"]);
      await admin.updateUserById(user.id, { ban_duration: "none" });
      const again = await anonClient(stack).auth.signInWithPassword({
        email: `new-${user.email}`,
        password: "another password",
      });
      assertEquals(again.error, null);

      assertEquals((await admin.deleteUser(user.id)).error, null);
      const gone = await admin.getUserById(user.id);
      assertEquals([gone.error?.status, gone.error?.code], [404, "user_not_found"]);
      assertEquals((await user.client.auth.getUser()).error?.status, 403);
    });

    await t.step("only the service may", async () => {
      const user = await createUser(stack);
      for (const client of [anonClient(stack), user.client]) {
        const { error } = await client.auth.admin.listUsers();
        assertEquals([error?.status, error?.code], [403, "not_admin"]);
      }
      for (const key of [stack.serviceRoleKey, stack.secretKey]) {
        const { error } = await createClient(stack.apiUrl, key).auth.admin.listUsers();
        assertEquals(error, null);
      }
    });

    await t.step("links that the service makes can be verified, each once", async () => {
      for (const type of ["signup", "magiclink", "recovery", "invite"] as const) {
        const email = `${type}@example.com`;
        if (type === "recovery") await admin.createUser({ email, email_confirm: true });
        const { data, error } = await admin.generateLink({ type, email, password: TEST_PASSWORD });
        assertEquals(error, null, type);
        assertEquals(data.properties!.verification_type, type);
        assertMatch(
          data.properties!.action_link,
          new RegExp(`^${stack.apiUrl}/auth/v1/verify\\?token=`),
        );
        const response = await fetch(data.properties!.action_link, { redirect: "manual" });
        await response.body?.cancel();
        const location = response.headers.get("location") ?? "";
        assertMatch(location, /^http:\/\/127\.0\.0\.1:3000\/?#access_token=/, type);
        const token = new URLSearchParams(location.split("#")[1]).get("access_token")!;
        const who = await anonClient(stack).auth.getUser(token);
        assertEquals(who.data.user?.email, email);
        const second = await fetch(data.properties!.action_link, { redirect: "manual" });
        await second.body?.cancel();
        assertMatch(second.headers.get("location") ?? "", /error_code=otp_expired/);
      }
      const { data } = await admin.generateLink({ type: "magiclink", email: "otp@example.com" });
      const { auth } = anonClient(stack);
      const verified = await auth.verifyOtp({
        email: "otp@example.com",
        token: data.properties!.email_otp,
        type: "magiclink",
      });
      assertEquals(verified.error, null);
      assertEquals(verified.data.user?.email, "otp@example.com");
    });

    await t.step("mail goes to the log", async () => {
      await admin.inviteUserByEmail("guest@example.com");
      assert(mails.some((mail) => mail.startsWith("mail to guest@example.com")));
      await anonClient(stack).auth.resetPasswordForEmail("ann@example.com");
      assert(mails.some((mail) => mail.startsWith("mail to ann@example.com")));
    });

    await t.step("requests without a key are refused, public pages are not", async () => {
      const settings = await fetch(`${stack.apiUrl}/auth/v1/user`);
      assertEquals(settings.status, 401);
      await settings.body?.cancel();
      const jwks = await (await fetch(`${stack.apiUrl}/auth/v1/.well-known/jwks.json`)).json();
      assertEquals(jwks.keys.length, 1);
      assertEquals(jwks.keys[0].d, undefined);
    });

    await t.step("many users sign in at the same time", async () => {
      const users = await Promise.all(Array.from({ length: 20 }, () => createUser(stack)));
      assertEquals(new Set(users.map((user) => user.id)).size, 20);
      const seen = await Promise.all(users.map((user) => user.client.auth.getUser()));
      assertEquals(seen.map((answer) => answer.data.user?.id), users.map((user) => user.id));
    });
  } finally {
    await stack.stop();
  }
});

/** Users in schema auth, as the admin routes make and change them. */
import type { Pool, PoolClient } from "pg";
import { AuthError } from "./auth_errors.ts";
import { userResponse } from "./auth_user.ts";

export type Attributes = Record<string, unknown>;

/**
 * Rounds of bcrypt for passwords set here. The least there is: these users are made for trying
 * things out, and each sign-in costs as much as the password did.
 */
const BCRYPT_ROUNDS = 4;
const FOREVER = "100 years";

/** Inserts a user and the identity of its address; returns it as the API shows it. */
export async function createUser(tx: PoolClient, attributes: Attributes): Promise<Attributes> {
  const email = text(attributes.email)?.toLowerCase();
  const phone = text(attributes.phone)?.replace(/^\+/, "");
  if (!email && !phone) {
    throw new AuthError(
      400,
      "validation_failed",
      "Cannot create a user without either an email or phone",
    );
  }
  if (email) await requireFreeEmail(tx, email);
  const id = text(attributes.id) ?? crypto.randomUUID();
  if (!isUuid(id)) {
    throw new AuthError(400, "validation_failed", "ID must conform to the uuid v4 format");
  }
  const providers = [...(email ? ["email"] : []), ...(phone ? ["phone"] : [])];
  await tx.query(
    `insert into auth.users (instance_id, id, aud, role, email, phone, encrypted_password, email_confirmed_at,
       phone_confirmed_at, raw_app_meta_data, raw_user_meta_data, banned_until, confirmation_token, recovery_token,
       email_change_token_new, email_change)
     values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', $2, $3::text, $4::text,
       extensions.crypt($5::text, extensions.gen_salt('bf', ${BCRYPT_ROUNDS})), case when $6::boolean then now() end,
       case when $7::boolean then now() end, $8, $9, ${bannedUntil("$10::text")}, '', '', '', '')`,
    [
      id,
      text(attributes.role) ?? "authenticated",
      email ?? null,
      phone ?? null,
      text(attributes.password) ?? crypto.randomUUID(),
      attributes.email_confirm === true,
      attributes.phone_confirm === true,
      { provider: providers[0], providers, ...record(attributes.app_metadata) },
      record(attributes.user_metadata),
      text(attributes.ban_duration) ?? "none",
    ],
  );
  for (const provider of providers) {
    const address = provider === "email" ? { email } : { phone };
    await tx.query(
      `insert into auth.identities (id, provider, provider_id, user_id, identity_data, last_sign_in_at)
       values ($1, $2, $3::text, $3::text::uuid, $4, now())`,
      [crypto.randomUUID(), provider, id, {
        sub: id,
        ...address,
        email_verified: false,
        phone_verified: false,
      }],
    );
  }
  return await findUser(tx, id);
}

/** Changes what `attributes` name, and returns the user. */
export async function updateUser(
  tx: PoolClient,
  id: string,
  attributes: Attributes,
): Promise<Attributes> {
  const before = await findUser(tx, id);
  const sets: string[] = ["updated_at = now()"];
  const values: unknown[] = [id];
  const set = (column: string, value: unknown, expression = (at: string) => at) => {
    values.push(value);
    sets.push(`${column} = ${expression(`$${values.length}`)}`);
  };
  const email = text(attributes.email)?.toLowerCase();
  if (email && email !== before.email) {
    await requireFreeEmail(tx, email);
    set("email", email);
    await tx.query(
      `update auth.identities set identity_data = identity_data || jsonb_build_object('email', $2::text), updated_at = now()
       where user_id = $1 and provider = 'email'`,
      [id, email],
    );
  }
  if (text(attributes.phone)) set("phone", text(attributes.phone)!.replace(/^\+/, ""));
  if (text(attributes.password)) {
    set(
      "encrypted_password",
      attributes.password,
      (at) => `extensions.crypt(${at}::text, extensions.gen_salt('bf', ${BCRYPT_ROUNDS}))`,
    );
  }
  if (text(attributes.role)) set("role", attributes.role);
  if (attributes.email_confirm === true) {
    sets.push("email_confirmed_at = coalesce(email_confirmed_at, now())");
  }
  if (attributes.phone_confirm === true) {
    sets.push("phone_confirmed_at = coalesce(phone_confirmed_at, now())");
  }
  // Keys that are null are removed, the others are merged.
  for (
    const [key, column] of [["app_metadata", "raw_app_meta_data"], [
      "user_metadata",
      "raw_user_meta_data",
    ]]
  ) {
    if (attributes[key] !== undefined) {
      set(
        column,
        record(attributes[key]),
        (at) => `jsonb_strip_nulls(coalesce(${column}, '{}') || ${at}::jsonb)`,
      );
    }
  }
  if (text(attributes.ban_duration)) set("banned_until", attributes.ban_duration, bannedUntil);
  await tx.query(`update auth.users set ${sets.join(", ")} where id = $1`, values);
  return await findUser(tx, id);
}

/** The user as the API shows it; an AuthError when there is none. */
export async function findUser(
  db: Pick<Pool | PoolClient, "query">,
  id: string,
): Promise<Attributes> {
  const { rows: [user] } = await db.query("select * from auth.users where id = $1", [id]);
  if (!user) throw new AuthError(404, "user_not_found", "User not found");
  const { rows: identities } = await db.query(
    "select * from auth.identities where user_id = $1 order by created_at, provider",
    [id],
  );
  return userResponse(user, identities);
}

/** One transaction, rolled back when `work` throws. */
export async function inTransaction<T>(
  pool: Pool,
  work: (tx: PoolClient) => Promise<T>,
): Promise<T> {
  const tx = await pool.connect();
  try {
    await tx.query("begin");
    const result = await work(tx);
    await tx.query("commit");
    return result;
  } catch (error) {
    await tx.query("rollback");
    throw error;
  } finally {
    tx.release();
  }
}

async function requireFreeEmail(tx: PoolClient, email: string): Promise<void> {
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) {
    throw new AuthError(
      400,
      "validation_failed",
      "Unable to validate email address: invalid format",
    );
  }
  const { rows } = await tx.query("select from auth.users where email = $1 and not is_sso_user", [
    email,
  ]);
  if (rows.length > 0) {
    throw new AuthError(
      422,
      "email_exists",
      "A user with this email address has already been registered",
    );
  }
}

/** `none` lifts a ban; otherwise a Go duration such as `24h` or `1h30m`, whose units Postgres knows too. */
function bannedUntil(parameter: string): string {
  const at = parameter.endsWith("::text") ? parameter : `${parameter}::text`;
  return `case when ${at} = 'none' then null
    else now() + least(regexp_replace(${at}, '(\\d)(h|m|s)', '\\1 \\2 ', 'g')::interval, interval '${FOREVER}') end`;
}

/** An object, or an empty one for anything else. */
export function record(value: unknown): Attributes {
  return typeof value === "object" && value !== null ? value as Attributes : {};
}

/** A text that is there and not empty. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function isUuid(value: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value);
}

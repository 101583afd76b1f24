/** Links that the service makes for a user instead of having them mailed. */
import type { AdminOptions } from "./auth_admin.ts";
import { type Attributes, createUser, findUser, inTransaction, text } from "./auth_users.ts";
import { AuthError } from "./auth_errors.ts";

const CODE_DIGITS = 6;

/** The column that keeps a link's token, by the type of link. */
const TOKEN_COLUMN: Record<string, "confirmation" | "recovery"> = {
  signup: "confirmation",
  invite: "confirmation",
  magiclink: "recovery",
  recovery: "recovery",
};

/** What the link is verified as; the local server knows no `invite`. */
const VERIFY_TYPE: Record<string, string> = { invite: "signup" };

/** `auth.admin.generateLink`: the user, and the link's parts beside it. */
export async function generateLink(
  options: AdminOptions,
  body: Attributes,
  redirectTo?: string,
): Promise<Attributes> {
  const type = text(body.type) ?? "";
  const email = text(body.email)?.toLowerCase();
  const column = TOKEN_COLUMN[type];
  if (!column) {
    throw new AuthError(
      400,
      "validation_failed",
      "Invalid email action link type requested: " + type,
    );
  }
  if (!email) throw new AuthError(400, "validation_failed", "Missing one of these types: email");
  if (type === "signup" && !text(body.password)) {
    throw new AuthError(400, "validation_failed", "Signup requires a valid password");
  }
  const code = randomCode();
  const token = await hash(email + code);
  const user = await inTransaction(options.pool, async (tx) => {
    const { rows: [found] } = await tx.query(
      "select id, confirmed_at from auth.users where email = $1 and not is_sso_user for update",
      [email],
    );
    if (found?.confirmed_at && column === "confirmation") {
      throw new AuthError(
        422,
        "email_exists",
        "A user with this email address has already been registered",
      );
    }
    if (!found && type === "recovery") {
      throw new AuthError(404, "user_not_found", "User with this email not found");
    }
    const id = found?.id ??
      (await createUser(tx, { email, password: body.password, user_metadata: body.data })).id;
    await tx.query(
      `update auth.users set ${column}_token = $2, ${column}_sent_at = now(),
         invited_at = case when $3::boolean then now() else invited_at end where id = $1`,
      [id, token, type === "invite"],
    );
    return await findUser(tx, id);
  });
  const target = redirectTo ?? text(body.redirect_to) ?? options.auth.siteUrl;
  const query = new URLSearchParams({
    token,
    type: VERIFY_TYPE[type] ?? type,
    redirect_to: target,
  });
  return {
    ...user,
    action_link: `${options.apiUrl}/auth/v1/verify?${query}`,
    email_otp: code,
    hashed_token: token,
    verification_type: type,
    redirect_to: target,
  };
}

/** `auth.admin.inviteUserByEmail`: the mail goes to the log. */
export async function inviteUser(
  options: AdminOptions,
  body: Attributes,
  redirectTo?: string,
): Promise<Attributes> {
  const {
    action_link,
    email_otp: _,
    hashed_token: __,
    verification_type: ___,
    redirect_to: ____,
    ...user
  } = await generateLink(options, { ...body, type: "invite" }, redirectTo);
  options.log(`mail to ${user.email}: You have been invited\n${action_link}`);
  return user;
}

function randomCode(): string {
  const digits = crypto.getRandomValues(new Uint32Array(CODE_DIGITS));
  return Array.from(digits, (value) => value % 10).join("");
}

/** As the local server hashes what it compares with: SHA-256 of address and code, in hexadecimal. */
async function hash(value: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

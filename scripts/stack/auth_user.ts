/** Rows of auth.users and auth.identities as the Auth API shows them. */

type Row = Record<string, unknown>;

/** A user; times that have not come are left out, as there. */
export function userResponse(user: Row, identities: Row[]): Row {
  return {
    id: user.id,
    aud: user.aud ?? "authenticated",
    role: user.role ?? "authenticated",
    email: user.email ?? "",
    ...times(user, ["email_confirmed_at", "invited_at"]),
    phone: user.phone ?? "",
    ...times(user, [
      "phone_confirmed_at",
      "confirmation_sent_at",
      "confirmed_at",
      "recovery_sent_at",
      "email_change_sent_at",
      "last_sign_in_at",
      "banned_until",
      "deleted_at",
    ]),
    ...(user.email_change ? { new_email: user.email_change } : {}),
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    identities: identities.map(identityResponse),
    ...times(user, ["created_at", "updated_at"]),
    is_anonymous: user.is_anonymous ?? false,
  };
}

function identityResponse(identity: Row): Row {
  return {
    identity_id: identity.id,
    id: identity.provider_id,
    user_id: identity.user_id,
    identity_data: identity.identity_data,
    provider: identity.provider,
    ...times(identity, ["last_sign_in_at", "created_at", "updated_at"]),
    ...(identity.email ? { email: identity.email } : {}),
  };
}

function times(row: Row, names: string[]): Row {
  return Object.fromEntries(
    names.flatMap((name) =>
      row[name] instanceof Date ? [[name, (row[name] as Date).toISOString()]] : []
    ),
  );
}

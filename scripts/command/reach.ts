/** A fetch whose failures say why: the runtime itself says "fetch failed", and the reason one level below. */

/** Name of the errors of a connection that could not be made; supabase-js puts it before their message. */
export const CONNECTION_ERROR = "ConnectionError";

/** The runtime's own words, which name the whole URL and the layers of its HTTP client. */
const LAYERS =
  /^error sending request( from \S+)?( for url \([^)]*\))?: |client error \(\w+\): |tcp connect error: /g;

/**
 * As `fetch`, but where there is no connection the error names the server and the reason, such as
 * `no connection to http://127.0.0.1:54321: Connection refused (os error 111)`.
 */
export async function fetchOrExplain(
  input: RequestInfo | URL,
  init?: RequestInit,
): Promise<Response> {
  try {
    return await fetch(input, init);
  } catch (error) {
    // A signal's own error is told by its name; others without a cause say what is wrong themselves.
    if (!(error instanceof TypeError) || !(error.cause instanceof Error)) throw error;
    const { origin } = new URL(input instanceof Request ? input.url : input);
    const explained = new Error(
      `no connection to ${origin}: ${reasonOf(error.cause).replaceAll(LAYERS, "")}`,
      { cause: error },
    );
    explained.name = CONNECTION_ERROR;
    throw explained;
  }
}

/** The messages of an error and of its causes, outermost first. */
export function reasonOf(error: unknown): string {
  const messages: string[] = [];
  for (let each = error; each instanceof Error; each = each.cause) messages.push(each.message);
  return messages.join(": ");
}

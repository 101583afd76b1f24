/**
 * The stream, whose end in the middle is thrown as what `failure` makes of it: the fault of whoever sends, and worth another try.
 */
export async function* unbroken(
  stream: ReadableStream<Uint8Array>,
  failure: (error: Error) => Error,
): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    throw failure(error as Error);
  }
}

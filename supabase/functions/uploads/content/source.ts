/** The bytes of an uploaded file, in storage. They do not change while they are read. */
export interface ContentSource {
  readonly size: number;
  /** `length` bytes from `offset`; throws if the object ends before. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** All bytes, from the beginning. */
  stream(): Promise<ReadableStream<Uint8Array>>;
}

import { AppError } from "../../_shared/errors.ts";
import { MAX_JSON_DEPTH } from "../../_shared/limits.ts";
import type { Cursor } from "./cursor.ts";

/**
 * Checks that a stream is one JSON text (RFC 8259) in UTF-8, of any size in constant memory: a state machine over
 * bytes that builds no values.
 */
export async function checkJson(cursor: Cursor): Promise<void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const machine = new JsonMachine();
  try {
    for (let chunk = await cursor.some(); chunk; chunk = await cursor.some()) {
      decoder.decode(chunk, { stream: true });
      machine.write(chunk);
    }
    decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) {
      throw new AppError("content_mismatch", "The file is not UTF-8 text.");
    }
    throw error;
  }
  machine.end();
}

/** What may come next. */
const enum Expect {
  Value,
  ValueOrEnd,
  Key,
  KeyOrEnd,
  Colon,
  CommaOrEnd,
  Nothing,
}

const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const MAX_NUMBER_LENGTH = 1024;
const LITERALS = new Set(["true", "false", "null"]);

/** Bytes that numbers, true, false and null are made of, and those that only mistakes are. */
const WORD_BYTES = new Uint8Array(256);
for (
  const byte of new TextEncoder().encode(
    "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
  )
) {
  WORD_BYTES[byte] = 1;
}

class JsonMachine {
  #expect: Expect = Expect.Value;
  /** Open containers, true for an object. */
  #stack: boolean[] = [];
  #inString = false;
  #stringIsKey = false;
  /** Inside an escape: 1 after the backslash, then 2 to 5 for the digits of \u. */
  #escape = 0;
  #word = "";
  #offset = 0;

  write(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index];
      if (this.#inString) {
        // The bulk of most files: plain characters of a string.
        if (this.#escape === 0 && byte !== 0x22 && byte !== 0x5c && byte >= 0x20) continue;
        this.#stringByte(byte, index);
      } else this.#structureByte(byte, index);
    }
    this.#offset += bytes.length;
  }

  end(): void {
    if (this.#word !== "") this.#endWord(0);
    if (this.#inString || this.#expect !== Expect.Nothing) this.#fail("it ends too early", 0);
  }

  #stringByte(byte: number, index: number): void {
    if (this.#escape === 1) {
      if (byte === 0x75) this.#escape = 2;
      else if ('"\\/bfnrt'.includes(String.fromCharCode(byte))) this.#escape = 0;
      else this.#fail("an unknown escape", index);
    } else if (this.#escape > 1) {
      if (!/[0-9a-fA-F]/.test(String.fromCharCode(byte))) this.#fail("an unknown escape", index);
      this.#escape = this.#escape === 5 ? 0 : this.#escape + 1;
    } else if (byte === 0x5c) this.#escape = 1;
    else if (byte === 0x22) {
      this.#inString = false;
      if (this.#stringIsKey) this.#expect = Expect.Colon;
      else this.#valueEnded();
    } else this.#fail("a control character in a string", index);
  }

  #structureByte(byte: number, index: number): void {
    if (WORD_BYTES[byte]) {
      if (
        this.#word === "" && this.#expect !== Expect.Value && this.#expect !== Expect.ValueOrEnd
      ) {
        this.#fail(`an unexpected "${String.fromCharCode(byte)}"`, index);
      }
      this.#word += String.fromCharCode(byte);
      if (this.#word.length > MAX_NUMBER_LENGTH) this.#fail("a number that is too long", index);
      return;
    }
    if (this.#word !== "") this.#endWord(index);
    switch (byte) {
      case 0x20:
      case 0x09:
      case 0x0a:
      case 0x0d:
        return;
      case 0x22:
        return this.#beginString(index);
      case 0x7b:
      case 0x5b:
        return this.#open(byte === 0x7b, index);
      case 0x7d:
      case 0x5d:
        return this.#close(byte === 0x7d, index);
      case 0x3a:
        if (this.#expect !== Expect.Colon) this.#fail('an unexpected ":"', index);
        this.#expect = Expect.Value;
        return;
      case 0x2c:
        if (this.#expect !== Expect.CommaOrEnd) this.#fail('an unexpected ","', index);
        this.#expect = this.#stack[this.#stack.length - 1] ? Expect.Key : Expect.Value;
        return;
      default:
        this.#fail("an unexpected character", index);
    }
  }

  #beginString(index: number): void {
    this.#stringIsKey = this.#expect === Expect.Key || this.#expect === Expect.KeyOrEnd;
    if (!this.#stringIsKey && this.#expect !== Expect.Value && this.#expect !== Expect.ValueOrEnd) {
      this.#fail("an unexpected string", index);
    }
    this.#inString = true;
  }

  #open(isObject: boolean, index: number): void {
    if (this.#expect !== Expect.Value && this.#expect !== Expect.ValueOrEnd) {
      this.#fail("an unexpected bracket", index);
    }
    if (this.#stack.push(isObject) > MAX_JSON_DEPTH) {
      this.#fail(`nesting deeper than ${MAX_JSON_DEPTH}`, index);
    }
    this.#expect = isObject ? Expect.KeyOrEnd : Expect.ValueOrEnd;
  }

  #close(isObject: boolean, index: number): void {
    const emptyEnd = isObject ? Expect.KeyOrEnd : Expect.ValueOrEnd;
    if (
      this.#stack.at(-1) !== isObject ||
      (this.#expect !== Expect.CommaOrEnd && this.#expect !== emptyEnd)
    ) {
      this.#fail("an unexpected bracket", index);
    }
    this.#stack.pop();
    this.#valueEnded();
  }

  #endWord(index: number): void {
    if (!LITERALS.has(this.#word) && !NUMBER.test(this.#word)) {
      this.#fail(`"${this.#word.slice(0, 20)}"`, index);
    }
    this.#word = "";
    this.#valueEnded();
  }

  #valueEnded(): void {
    this.#expect = this.#stack.length > 0 ? Expect.CommaOrEnd : Expect.Nothing;
  }

  #fail(what: string, index: number): never {
    throw new AppError(
      "content_mismatch",
      `The file is not JSON: ${what} at byte ${this.#offset + index}.`,
    );
  }
}

import { AppError } from "../../_shared/errors.ts";
import { MAX_JSON_DEPTH } from "../../_shared/limits.ts";
import type { Cursor } from "./cursor.ts";
import { Action, endsValue, State, TABLE } from "./json_states.ts";

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

const FIRST_ACTION: number = Action.Error;

class JsonMachine {
  #state: number = State.Value;
  /** Open containers, 1 for an object. */
  #stack = new Uint8Array(MAX_JSON_DEPTH);
  #depth = 0;
  #textIsKey = false;
  #offset = 0;

  write(bytes: Uint8Array): void {
    let state = this.#state;
    for (let index = 0; index < bytes.length; index++) {
      const next = TABLE[state << 8 | bytes[index]];
      state = next < FIRST_ACTION ? next : this.#act(next, index, bytes[index]);
    }
    this.#state = state;
    this.#offset += bytes.length;
  }

  end(): void {
    if (this.#depth > 0 || !endsValue(this.#state)) this.#fail("it ends too early", 0);
  }

  /** The state after the action. */
  #act(action: number, index: number, byte: number): number {
    switch (action) {
      case Action.OpenObject:
      case Action.OpenArray: {
        if (this.#depth === MAX_JSON_DEPTH) {
          this.#fail(`nesting deeper than ${MAX_JSON_DEPTH}`, index);
        }
        const isObject = action === Action.OpenObject;
        this.#stack[this.#depth++] = isObject ? 1 : 0;
        return isObject ? State.KeyOrEnd : State.ValueOrEnd;
      }
      case Action.CloseObject:
      case Action.CloseArray: {
        const isObject = action === Action.CloseObject;
        if (this.#depth === 0 || this.#stack[this.#depth - 1] !== (isObject ? 1 : 0)) {
          this.#fail("an unexpected bracket", index);
        }
        this.#depth--;
        return State.CommaOrEnd;
      }
      case Action.Comma:
        if (this.#depth === 0) this.#fail('an unexpected ","', index);
        return this.#stack[this.#depth - 1] === 1 ? State.Key : State.Value;
      case Action.BeginKey:
      case Action.BeginText:
        this.#textIsKey = action === Action.BeginKey;
        return State.Text;
      case Action.EndText:
        return this.#textIsKey ? State.Colon : State.CommaOrEnd;
      default:
        this.#fail(
          byte > 0x20 && byte < 0x7f
            ? `an unexpected ${JSON.stringify(String.fromCharCode(byte))}`
            : "an unexpected character",
          index,
        );
    }
  }

  #fail(what: string, index: number): never {
    throw new AppError(
      "content_mismatch",
      `The file is not JSON: ${what} at byte ${this.#offset + index}.`,
    );
  }
}

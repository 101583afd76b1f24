/**
 * JSON (RFC 8259) as a finite automaton over bytes: what a byte does in a state is one look into a table, so that a hundred
 * megabytes take a fraction of a second, whatever they are made of.
 */

/** What may come next. Those from `Int` on are inside a number or a word. */
export const enum State {
  Value,
  ValueOrEnd,
  Key,
  KeyOrEnd,
  Colon,
  CommaOrEnd,
  Text,
  Escape,
  Hex1,
  Hex2,
  Hex3,
  Hex4,
  Minus,
  Zero,
  Int,
  Point,
  Fraction,
  Exponent,
  ExponentSign,
  ExponentDigits,
  T,
  Tr,
  Tru,
  F,
  Fa,
  Fal,
  Fals,
  N,
  Nu,
  Nul,
  Count,
}

/** What more than a change of state happens; greater than every state. */
export const enum Action {
  Error = 64,
  OpenObject,
  OpenArray,
  CloseObject,
  CloseArray,
  Comma,
  BeginKey,
  BeginText,
  EndText,
}

/** Whether a value ends where the text ends in this state. */
export function endsValue(state: number): boolean {
  return VALUE_ENDS.includes(state);
}

/** States after a value that needs no mark of its end: the next byte is what follows it. */
const VALUE_ENDS: number[] = [
  State.CommaOrEnd,
  State.Zero,
  State.Int,
  State.Fraction,
  State.ExponentDigits,
];

/** For state s and byte b, `TABLE[s << 8 | b]` is the next state or an action. */
export const TABLE: Uint8Array = makeTable();

function makeTable(): Uint8Array {
  const table = new Uint8Array(State.Count << 8).fill(Action.Error);
  const set = (states: number[], characters: string, to: number) => {
    for (const state of states) {
      for (const character of characters) table[state << 8 | character.charCodeAt(0)] = to;
    }
  };
  const digits = "0123456789";
  const beforeValue = [State.Value, State.ValueOrEnd];
  for (
    const state of [...beforeValue, State.Key, State.KeyOrEnd, State.Colon, State.CommaOrEnd]
  ) set([state], " \t\n\r", state);

  set(beforeValue, "{", Action.OpenObject);
  set(beforeValue, "[", Action.OpenArray);
  set(beforeValue, '"', Action.BeginText);
  set([State.Key, State.KeyOrEnd], '"', Action.BeginKey);
  set([State.KeyOrEnd], "}", Action.CloseObject);
  set([State.ValueOrEnd], "]", Action.CloseArray);
  set([State.Colon], ":", State.Value);

  table.fill(State.Text, State.Text << 8 | 0x20, (State.Text + 1) << 8);
  set([State.Text], '"', Action.EndText);
  set([State.Text], "\\", State.Escape);
  set([State.Escape], '"\\/bfnrt', State.Text);
  set([State.Escape], "u", State.Hex1);
  for (const state of [State.Hex1, State.Hex2, State.Hex3, State.Hex4]) {
    set([state], "0123456789abcdefABCDEF", state === State.Hex4 ? State.Text : state + 1);
  }

  set(beforeValue, "-", State.Minus);
  set([...beforeValue, State.Minus], "0", State.Zero);
  set([...beforeValue, State.Minus], "123456789", State.Int);
  set([State.Int], digits, State.Int);
  set([State.Zero, State.Int], ".", State.Point);
  set([State.Point, State.Fraction], digits, State.Fraction);
  set([State.Zero, State.Int, State.Fraction], "eE", State.Exponent);
  set([State.Exponent], "+-", State.ExponentSign);
  set([State.Exponent, State.ExponentSign, State.ExponentDigits], digits, State.ExponentDigits);

  const words: [string, number][] = [["true", State.T], ["false", State.F], ["null", State.N]];
  for (const [word, first] of words) {
    set(beforeValue, word[0], first);
    for (let at = 1; at < word.length; at++) {
      set([first + at - 1], word[at], at === word.length - 1 ? State.CommaOrEnd : first + at);
    }
  }

  set(VALUE_ENDS, " \t\n\r", State.CommaOrEnd);
  set(VALUE_ENDS, ",", Action.Comma);
  set(VALUE_ENDS, "}", Action.CloseObject);
  set(VALUE_ENDS, "]", Action.CloseArray);
  return table;
}

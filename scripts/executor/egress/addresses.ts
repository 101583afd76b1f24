/** Which addresses an app may be connected to: those of the public Internet but this host's own. */
import { isPublicAddress, parseAddress } from "../../../supabase/functions/_shared/addresses.ts";

/** Public, and not one of this host's own: services often listen on all of them. */
export function isForeignAddress(text: string): boolean {
  const address = parseAddress(text);
  if (address === null || !isPublicAddress(text)) return false;
  return !Deno.networkInterfaces().some((each) => {
    const own = parseAddress(each.address.split("%")[0]);
    return own !== null && own.bits === address.bits && own.value === address.value;
  });
}

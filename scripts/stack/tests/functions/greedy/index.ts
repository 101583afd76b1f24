// Takes memory outside V8's heap until somebody stops it.
Deno.serve(async () => {
  const held: Uint8Array[] = [];
  for (let mebibytes = 0; mebibytes < 2048; mebibytes += 16) {
    held.push(new Uint8Array(16 * 1024 * 1024).fill(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return new Response(`${held.length}`);
});

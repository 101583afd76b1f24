// Answers nobody until they go away, and tells of it: its process first, then who came and who left.
const heard = [String(Deno.pid)];
Deno.serve(async (request) => {
  const what = new URL(request.url).pathname.split("/").at(-1)!;
  if (what === "heard") return Response.json(heard);
  if (what === "read") await request.text();
  const gone = new Promise((resolve) => request.signal.addEventListener("abort", resolve));
  gone.then(() => heard.push(`${what} left`));
  heard.push(`${what} begun`);
  if (what !== "stream") await gone;
  return new Response(new ReadableStream({ start: (body) => body.enqueue(new Uint8Array(1)) }));
});

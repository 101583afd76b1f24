// Tells what reached it; `/echo/stream` answers piece by piece, `/echo/count` counts bytes.
Deno.serve(async (request) => {
  const url = new URL(request.url);
  if (url.pathname === "/echo/count") {
    let bytes = 0;
    for await (const chunk of request.body ?? []) bytes += chunk.length;
    return Response.json({ bytes });
  }
  if (url.pathname === "/echo/stream") return new Response(request.body);
  if (url.pathname === "/echo/big") {
    const chunk = new Uint8Array(1024 * 1024);
    let left = Number(url.searchParams.get("mebibytes"));
    const body = new ReadableStream({
      pull: (controller) => left-- > 0 ? controller.enqueue(chunk) : controller.close(),
    });
    return new Response(body);
  }
  return Response.json({
    method: request.method,
    path: url.pathname + url.search,
    headers: Object.fromEntries(request.headers),
    env: Deno.env.toObject(),
    body: await request.text(),
  }, { status: 201, headers: { "x-function": "echo" } });
});

// Ends in the middle of a request when asked to, and tells which process it is otherwise.
Deno.serve((request) => {
  if (new URL(request.url).searchParams.has("now")) {
    console.error("crashing as asked");
    Deno.exit(3);
  }
  return Response.json({ pid: Deno.pid });
});

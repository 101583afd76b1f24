// Never answers, and hears no polite signal either.
Deno.serve(() => {
  while (true);
});

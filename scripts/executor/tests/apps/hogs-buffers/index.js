// Takes memory outside the JavaScript heap, where the runtime's own bound does not reach.
const kept = [];
const grow = () => {
  kept.push(Buffer.alloc(8 * 1024 * 1024, kept.length + 1));
  setTimeout(grow, 5);
};
grow();

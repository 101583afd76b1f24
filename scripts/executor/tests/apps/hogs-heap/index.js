// Fills the JavaScript heap.
const kept = [];
while (true) kept.push(Array.from({ length: 10_000 }, (_, i) => `${i}-${kept.length}`));

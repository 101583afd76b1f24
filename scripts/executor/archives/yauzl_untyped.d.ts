declare const yauzl: unknown;
export default yauzl;

/** Every limit of the functions, said once. Sizes are bytes, times are seconds unless the name says otherwise. */
const KIB = 1024;
const MIB = 1024 * KIB;

/** The largest file in `app-storage`: the bucket's `file_size_limit` and `config.toml`'s. */
export const MAX_FILE_BYTES = 100 * MIB;

/** The largest file that may come inside one multipart request, which is held in memory. */
export const MAX_MULTIPART_FILE_BYTES = 10 * MIB;

/** What the form around the file may add: boundaries, part headers and the other fields. */
export const MAX_MULTIPART_OVERHEAD_BYTES = 64 * KIB;

/** The largest JSON request body. */
export const MAX_JSON_BODY_BYTES = 256 * KIB;

/** How deep a JSON request body may nest. */
export const MAX_JSON_BODY_DEPTH = 64;

/** The longest URL, in characters, and the most that all headers may take together. */
export const MAX_URL_LENGTH = 8 * KIB;
export const MAX_HEADER_BYTES = 24 * KIB;

/** How long a body may be on its way, and when a request that has not been answered is given up. */
export const BODY_DEADLINE_MS = 60_000;
export const REQUEST_DEADLINE_MS = 140_000;

/** When a query of the API is given up: before the platform's REST server would be (8 s for users), or soon after. */
export const QUERY_DEADLINE_MS = 10_000;

/** Requests that a process of the API takes from the database's count at once, and callers that it knows the count of. */
export const REQUESTS_TAKEN_AT_ONCE = 10;
export const MAX_COUNTED_CALLERS = 10_000;

/** Entries on a page of a list: at most, and when the caller does not say. */
export const MAX_PAGE_SIZE = 100;
export const DEFAULT_PAGE_SIZE = 50;

/** The largest body of a webhook's delivery; `receive_app_webhook` holds to it too. */
export const MAX_WEBHOOK_BODY_BYTES = 256 * KIB;

/** What a resumable upload sends in one request: the platform takes no other size. */
export const RESUMABLE_CHUNK_BYTES = 6 * MIB;

/** How long a signed download lives at most, and when the caller does not say. */
export const MAX_DOWNLOAD_SECONDS = 3600;
export const DEFAULT_DOWNLOAD_SECONDS = 300;

/** Download tokens: how long one lives at most and by default, how often it may be used, and its label in characters. */
export const MAX_TOKEN_SECONDS = 366 * 86_400;
export const DEFAULT_TOKEN_SECONDS = 7 * 86_400;
export const MAX_TOKEN_DOWNLOADS = 1_000_000;
export const MAX_TOKEN_LABEL_LENGTH = 200;

/** The most downloads signed in one request. */
export const MAX_BATCH_ITEMS = 50;

/** The longest file name in a Content-Disposition header, in characters. */
export const MAX_FILE_NAME_LENGTH = 255;

/** How long one request holds an upload for verification. */
export const VERIFICATION_LEASE_SECONDS = 180;

/** When verification gives up: well before its lease ends, so that it never writes without holding the upload. */
export const VERIFICATION_DEADLINE_MS = 120_000;

/** Manifests are written by hand: text of this size, nesting, and this many nodes once aliases are expanded. */
export const MAX_MANIFEST_BYTES = 128 * KIB;
export const MAX_MANIFEST_DEPTH = 24;
export const MAX_MANIFEST_NODES = 10_000;
export const MAX_MANIFEST_ALIASES = 32;

/** What a run may have of memory: a runtime alone takes most of the least, and less could start nothing. */
export const MIN_MEMORY_MEGABYTES = 64;
export const MAX_MEMORY_MEGABYTES = 16_384;

/** Tokens of YAML, blanks and line ends included, of which the parser makes objects many times their size. */
export const MAX_YAML_TOKENS = 40_000;

/** What an error says, in characters: what callers send, and it repeats, may be much longer. */
export const MAX_DETAIL_LENGTH = 4000;
export const MAX_MISTAKE_LENGTH = 500;

/** The most mistakes reported at once. */
export const MAX_REPORTED_ERRORS = 100;

/** SVG is read whole to be looked through. */
export const MAX_SVG_BYTES = 8 * MIB;

/** How deep a JSON file may nest: parsers recurse. */
export const MAX_JSON_DEPTH = 512;

/** Archives: entries, the length of a name in bytes, and what they unpack to. */
export const MAX_ARCHIVE_ENTRIES = 10_000;
export const MAX_ARCHIVE_NAME_BYTES = 512;
export const MAX_UNPACKED_BYTES = 512 * MIB;

/** Unpacked by packed size, once the unpacked size is worth worrying about. */
export const MAX_UNPACK_RATIO = 100;
export const RATIO_MATTERS_FROM_BYTES = 10 * MIB;

/** The YAML of a package: text of this size, nesting, and this many nodes once aliases are expanded. */
export const MAX_PACKAGE_YAML_BYTES = MIB;
export const MAX_PACKAGE_YAML_DEPTH = 48;
export const MAX_PACKAGE_YAML_NODES = 50_000;
export const MAX_PACKAGE_YAML_ALIASES = 128;

/** Packages of several files: how many besides the YAML, each of this size, and all together. */
export const MAX_PACKAGE_FILES = 200;
export const MAX_PACKAGE_FILE_BYTES = MIB;
export const MAX_PACKAGE_BYTES = 8 * MIB;

/** The most dependencies that one version names. */
export const MAX_PACKAGE_DEPENDENCIES = 500;

/** The longest range of versions, in characters; the database holds to it too. */
export const MAX_RANGE_LENGTH = 256;

/** The most imports of one .proto file, and of all files of a package. */
export const MAX_PROTO_IMPORTS = 500;
export const MAX_PACKAGE_IMPORTS = 2_000;

/** Fields of a form that publishes, and how often a resolution compares a version with a range before it gives up. */
export const MAX_PUBLICATION_FIELDS = 20;
export const MAX_RESOLUTION_STEPS = 10_000_000;

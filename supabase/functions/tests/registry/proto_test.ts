import { assertEquals } from "../../../../scripts/testing/assert.ts";
import { isWellKnownImport, parseProto } from "../../_shared/registry/proto.ts";

const names = (source: string) => {
  const result = parseProto(source, "a.proto");
  if (!result.ok) throw new Error(result.errors[0].message);
  return { package: result.package, imports: result.imports.map(({ path, kind }) => [path, kind]) };
};

Deno.test("package and imports are found, and nothing that only looks like them", () => {
  assertEquals(
    names(`
      // import "commented/out.proto";
      /* package not.this; import "nor/that.proto"; */
      edition = "2023";
      package acme . orders.v1 ;
      import "google/protobuf/timestamp.proto"; import public 'acme/common.proto';
      import weak
        "acme/old.proto";
      option go_package = "import \\"fake.proto\\";";
      message Order { string import = 1; string package = 2; // }
        message import { }
        google.protobuf.Timestamp at = 3 [deprecated = true];
      }
      service Orders { rpc package (Order) returns (Order); }
    `),
    {
      package: "acme.orders.v1",
      imports: [
        ["google/protobuf/timestamp.proto", "plain"],
        ["acme/common.proto", "public"],
        ["acme/old.proto", "weak"],
      ],
    },
  );
  assertEquals(names('syntax = "proto3";'), { package: null, imports: [] });
  assertEquals(names(""), { package: null, imports: [] });
});

Deno.test("an import says where it stands", () => {
  const result = parseProto('syntax = "proto3";\n\n  import "a/b.proto";\n', "a.proto");
  assertEquals(result.ok && result.imports[0], {
    path: "a/b.proto",
    kind: "plain",
    line: 3,
    column: 3,
  });
});

Deno.test("mistakes are named with line and column", () => {
  const cases: Record<string, [string, number, number]> = {
    'import "a.proto"': ["syntax", 1, 17],
    "import a.proto;": ["syntax", 1, 8],
    'import "a.proto\nb";': ["syntax", 1, 8],
    "/* open": ["syntax", 1, 1],
    "package a;\npackage b;": ["duplicate", 2, 1],
    'import "../a.proto";': ["path_unsafe", 1, 8],
    'import "/etc/passwd";': ["path_unsafe", 1, 8],
    "message A {": ["syntax", 1, 12],
    "message A {}\n}": ["syntax", 2, 1],
    "package ;": ["syntax", 1, 9],
  };
  for (const [source, expected] of Object.entries(cases)) {
    const result = parseProto(source, "a.proto");
    assertEquals(
      result.ok ? result : [result.errors[0].code, result.errors[0].line, result.errors[0].column],
      expected,
      source,
    );
  }
});

Deno.test("imports that come with the compiler are known", () => {
  assertEquals(isWellKnownImport("google/protobuf/any.proto"), true);
  assertEquals(isWellKnownImport("google/protobuf/compiler/plugin.proto"), true);
  assertEquals(isWellKnownImport("google/api/annotations.proto"), false);
  assertEquals(isWellKnownImport("google/protobuf/any.proto/../x"), false);
});

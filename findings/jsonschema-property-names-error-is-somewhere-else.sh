#!/usr/bin/env bash
# santhosh-tekuri/jsonschema 6.0.3 (Go): an error of `propertyNames` names the wrong place, and another one in each run.
#
# Other errors clone the path to the value that is wrong. An error of `propertyNames` (and of `contentSchema`) keeps the slice
# itself, whose array the siblings that are validated later overwrite. They are visited in the order of a Go map, which is random.
# So of {"a": {"wrong": 1}, "b": {}, "c": 1}, of which only `a` is wrong, the error is at /a, /b or /c. Helm 3 and 4 use this
# package for values.schema.json. `patternProperties` with `additionalProperties: false` says the same, and its error is at /a.
#
# Seen, the places that 10000 validations name:
#   propertyNames: /a /b /c
#   propertyNames, no siblings in the schema: /a
#   additionalProperties: /a
#
# Needs Go 1.23 or later.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >go.mod <<'MOD'
module seen

go 1.23

require github.com/santhosh-tekuri/jsonschema/v6 v6.0.3

require golang.org/x/text v0.14.0 // indirect
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func parse(text string) any {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return value
}

func places(schema string) string {
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", parse(schema)); err != nil {
		panic(err)
	}
	compiled := compiler.MustCompile("schema.json")
	value := parse(`{"a": {"wrong": 1}, "b": {}, "c": 1}`)
	seen := map[string]bool{}
	for range 10000 {
		wrong := compiled.Validate(value).(*jsonschema.ValidationError)
		seen["/"+strings.Join(wrong.Causes[0].InstanceLocation, "/")] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), " ")
}

func main() {
	names := `"a": {"propertyNames": {"enum": ["x"]}}`
	fmt.Println("propertyNames:", places(`{"properties": {`+names+`, "b": {"type": "object"}, "c": {}}}`))
	fmt.Println("propertyNames, no siblings in the schema:", places(`{"properties": {`+names+`}}`))
	additional := `"a": {"patternProperties": {"^x$": {}}, "additionalProperties": false}`
	fmt.Println("additionalProperties:", places(`{"properties": {`+additional+`, "b": {"type": "object"}, "c": {}}}`))
}
GO
go mod tidy 2>downloads || { cat downloads >&2; exit 1; }
nice -n 10 go run . >seen
diff seen - <<'SEEN'
propertyNames: /a /b /c
propertyNames, no siblings in the schema: /a
additionalProperties: /a
SEEN
echo "still so"

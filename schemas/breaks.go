package schemas

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/avro"
)

// maxBreaks bounds what is listed of two schemas that have little in common.
const maxBreaks = 100

// breaks finds the reasons why reader cannot read what writer wrote. The
// library names the first one. Of a copy of the reader that is taken out, and
// the library is asked again, until it has nothing left to say: a field less
// to read never adds a reason.
func breaks(writer, reader *avro.Schema) []error {
	var found []error
	for len(found) < maxBreaks {
		err := avro.CheckCompatibility(writer, reader)
		if err == nil {
			break
		}
		found = append(found, err)
		c, ok := errors.AsType[*avro.CompatibilityError](err)
		if !ok {
			break
		}
		root := reader.Root()
		if !repair(root, strings.Split(c.Path, "."), c.Detail) {
			break
		}
		if reader, err = root.Schema(); err != nil {
			break // a default that names the field; what was found so far is told
		}
	}
	return found
}

// repair changes n so that what is wrong at path is not any more: an enum gets
// the symbol that it lacks, any other field is dropped. It reports whether
// there was something to change.
func repair(n *avro.SchemaNode, path []string, detail string) bool {
	if n.Items != nil && path[0] == "items" && len(path) > 1 {
		return repair(n.Items, path[1:], detail)
	}
	if n.Values != nil && path[0] == "values" && len(path) > 1 {
		return repair(n.Values, path[1:], detail)
	}
	for i := range n.Branches {
		if repair(&n.Branches[i], path, detail) {
			return true
		}
	}
	at := slices.IndexFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == path[0] })
	switch {
	case at < 0:
		return false
	case len(path) > 1 && repair(&n.Fields[at].Type, path[1:], detail):
	case len(path) == 1 && addSymbol(&n.Fields[at].Type, detail):
	default:
		n.Fields = slices.Delete(n.Fields, at, at+1)
	}
	return true
}

// addSymbol adds the symbol that the detail quotes to an enum without it.
func addSymbol(n *avro.SchemaNode, detail string) bool {
	_, quoted, _ := strings.Cut(detail, "symbol ")
	prefix, err := strconv.QuotedPrefix(quoted)
	if n.Type != "enum" || err != nil {
		return false
	}
	symbol, err := strconv.Unquote(prefix)
	if err != nil || slices.Contains(n.Symbols, symbol) {
		return false
	}
	n.Symbols = append(n.Symbols, symbol)
	return true
}

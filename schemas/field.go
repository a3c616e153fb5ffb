package schemas

import (
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// TypeOf returns Avro's name for what the field at path is in a schema (JSON
// text): string, long, decimal, record. A path is of names with dots between
// them, and [] steps into the items of a list: lines[].amount. null in a union
// is overlooked; what lies in a union of several others is a union. Where there
// is no such field the name is "", and near are the paths of the fields that
// stand in the place of the first name that is wrong.
func TypeOf(schema, path string) (name string, near []string) {
	parsed, err := avro.Parse(schema)
	if err != nil {
		return "", nil
	}
	root := parsed.Root()
	s := steps{names: namesOf(root)}
	return s.follow(root, strings.Split(strings.ReplaceAll(path, "[]", ".[]"), "."))
}

// steps follows a path through a schema.
type steps struct {
	names names
	done  []string // the names so far
}

func (s *steps) follow(n *avro.SchemaNode, path []string) (string, []string) {
	n = s.plain(n)
	if len(path) == 0 {
		return typeName(n), nil
	}
	next, at := path[0], (*avro.SchemaNode)(nil)
	switch n.Type {
	case "union":
		return n.Type, nil
	case "map":
		at = n.Values
	case "array":
		if next == "[]" {
			at = n.Items
		}
	case "record":
		i := slices.IndexFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == next })
		if i < 0 {
			return "", s.instead(n, path[1:])
		}
		at = &n.Fields[i].Type
	}
	if at == nil {
		return "", nil
	}
	s.done = append(s.done, next)
	return s.follow(at, path[1:])
}

// plain resolves references, and a union with null alone.
func (s *steps) plain(n *avro.SchemaNode) *avro.SchemaNode {
	n = s.names.follow(n)
	var others []*avro.SchemaNode
	for i := range n.Branches {
		if n.Branches[i].Type != "null" {
			others = append(others, &n.Branches[i])
		}
	}
	if n.Type == "union" && len(others) == 1 {
		return s.plain(others[0])
	}
	return n
}

// instead returns the paths that a wrong name may have been meant as.
func (s *steps) instead(record *avro.SchemaNode, rest []string) []string {
	near := make([]string, len(record.Fields))
	for i, f := range record.Fields {
		names := slices.Concat(s.done, []string{f.Name}, rest)
		near[i] = strings.ReplaceAll(strings.Join(names, "."), ".[]", "[]")
	}
	return near
}

// typeName is the name of a logical type where that makes another value of it.
func typeName(n *avro.SchemaNode) string {
	for _, family := range []string{"decimal", "date", "time-", "timestamp-", "local-timestamp-"} {
		if strings.HasPrefix(n.LogicalType, family) {
			return n.LogicalType
		}
	}
	return n.Type
}

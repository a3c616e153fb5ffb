package schemas

import (
	"strings"

	"github.com/twmb/avro"
)

// names tells what the nodes of a schema stand for that only name a type: it is
// spelled out where it is used first, and named wherever else.
type names map[*avro.SchemaNode]*avro.SchemaNode

func namesOf(root *avro.SchemaNode) names {
	t := names{}
	t.learn(root, "", map[string]*avro.SchemaNode{})
	return t
}

// learn walks a schema in its order, in which every name comes after its type.
// space is the namespace that a name without dots belongs to.
func (t names) learn(n *avro.SchemaNode, space string, known map[string]*avro.SchemaNode) {
	if n == nil {
		return
	}
	if n.Name != "" {
		full := fullName(n)
		known[full], space = n, full[:max(0, strings.LastIndexByte(full, '.'))]
	} else if meant, ok := known[strings.TrimPrefix(space+"."+n.Type, ".")]; ok {
		t[n] = meant
	} else if meant, ok := known[n.Type]; ok {
		t[n] = meant
	}
	for i := range n.Fields {
		t.learn(&n.Fields[i].Type, space, known)
	}
	t.learn(n.Items, space, known)
	t.learn(n.Values, space, known)
	for i := range n.Branches {
		t.learn(&n.Branches[i], space, known)
	}
}

// follow returns what n stands for: itself, or the type that it names.
func (t names) follow(n *avro.SchemaNode) *avro.SchemaNode {
	if meant, ok := t[n]; ok {
		return meant
	}
	return n
}

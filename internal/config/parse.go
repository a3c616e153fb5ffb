package config

import (
	"errors"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file: aliases of aliases could stand for more than memory holds.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000
	maxDepth = 100
)

// parse reads YAML into a document. Mistakes of the syntax end up in its problems.
func parse(file string, text []byte) *document {
	d := &document{file: file, root: map[string]any{}, marks: map[string]mark{}, lookup: os.LookupEnv}
	if len(text) > maxFile {
		d.fail("", "must not be larger than 1 MiB")
		return d
	}
	tree, err := parseBytes(text)
	if err != nil {
		d.syntax(err)
		return d
	}
	var body ast.Node
	for i, doc := range tree.Docs {
		if i > 0 && doc.Body != nil {
			d.problemAt(position(doc.Body), "", false, "only one YAML document may stand in a file")
			d.broken = append(d.broken, "")
			return d
		}
		if doc.Body != nil {
			body = doc.Body
		}
	}
	r := reader{d: d, anchors: map[string]ast.Node{}}
	value := r.read("", body, 0)
	if root, ok := value.(map[string]any); ok {
		d.root = root
	} else if value != nil {
		d.fail("", "must be a map of settings")
	}
	return d
}

// parseBytes shields from a parser that panics on odd input.
func parseBytes(text []byte) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("is not YAML")
		}
	}()
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

func (d *document) syntax(err error) {
	at, message := place{1, 1}, err.Error()
	var positioned yaml.Error
	if errors.As(err, &positioned) {
		message = positioned.GetMessage()
		at = placeOf(positioned.GetToken())
	}
	d.problemAt(at, "", false, message)
	d.broken = append(d.broken, "")
}

// reader turns nodes into plain values.
type reader struct {
	d       *document
	anchors map[string]ast.Node
	nodes   int
}

func (r *reader) read(path string, n ast.Node, depth int) any {
	r.nodes++
	if r.nodes > maxNodes || depth > maxDepth {
		if r.nodes <= maxNodes+1 {
			r.d.fail(path, "has too many values, or too many levels")
		}
		return nil
	}
	if n == nil {
		return nil
	}
	if m, ok := r.d.marks[path]; !ok || m.value == (place{}) {
		m.value = position(n)
		r.d.marks[path] = m
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(path, n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping(path, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for i, v := range n.Values {
			list = append(list, r.read(item(path, i), v, depth+1))
		}
		return list
	case *ast.AnchorNode:
		r.anchors[name(n.Name)] = n.Value
		return r.read(path, n.Value, depth+1)
	case *ast.AliasNode:
		return r.alias(path, n, depth)
	case ast.ScalarNode:
		return r.scalar(path, n)
	case *ast.LiteralNode:
		return r.text(path, n.Value.Value)
	}
	r.d.fail(path, "tags and other YAML of this kind are not supported")
	return nil
}

func (r *reader) mapping(path string, values []*ast.MappingValueNode, depth int) any {
	m := make(map[string]any, len(values))
	for _, kv := range values {
		key := name(kv.Key)
		at := child(path, key)
		if _, twice := r.d.marks[at]; twice && !r.aliased(at, kv) {
			r.d.problemAt(position(kv.Key), path, false, fmt.Sprintf("the key %q is there twice", key))
			r.d.broken = append(r.d.broken, at)
			continue
		}
		if kv.Key.IsMergeKey() {
			r.d.problemAt(position(kv.Key), path, false, "merge keys (<<) are not supported")
			r.d.broken = append(r.d.broken, path)
			continue
		}
		r.d.marks[at] = mark{key: position(kv.Key)}
		if v := r.read(at, kv.Value, depth+1); v != nil { // null is as if the key were not there
			m[key] = v
		}
	}
	return m
}

// aliased reports whether the mark at a path is that of kv itself.
func (r *reader) aliased(at string, kv *ast.MappingValueNode) bool {
	return r.d.marks[at].key == position(kv.Key)
}

func (r *reader) alias(path string, n *ast.AliasNode, depth int) any {
	target, ok := r.anchors[name(n.Value)]
	if !ok {
		r.d.fail(path, "the alias *%s has no anchor before it", name(n.Value))
		return nil
	}
	return r.read(path, target, depth+1)
}

func (r *reader) scalar(path string, n ast.ScalarNode) any {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil
	case *ast.IntegerNode:
		r.source(path, n.GetToken().Value)
		return n.Value
	case *ast.FloatNode:
		r.source(path, n.GetToken().Value)
		return n.Value
	case *ast.BoolNode:
		r.source(path, n.GetToken().Value)
		return n.Value
	case *ast.StringNode:
		return r.text(path, n.Value)
	}
	return n.GetToken().Value // .inf, .nan: text that no number accepts
}

func (r *reader) source(path, text string) {
	m := r.d.marks[path]
	m.source = text
	r.d.marks[path] = m
}

func (r *reader) text(path, text string) any {
	r.source(path, text)
	expanded, err := r.d.expand(text)
	if err != nil {
		r.d.fail(path, "%s", err.Error())
		return nil
	}
	if expanded != text {
		m := r.d.marks[path]
		m.expanded = true
		r.d.marks[path] = m
	}
	return expanded
}

func name(n ast.Node) string {
	switch n := n.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return n.Value
	case *ast.MappingKeyNode:
		return name(n.Value)
	}
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func position(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	}
	return placeOf(n.GetToken())
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

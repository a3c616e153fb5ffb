// Command keydocs gathers what the doc comments of Go say of the keys of a
// configuration: keydocs ROOT prints a JSON object from the full names of
// fields to a sentence or two. The schema that editors read
// and docs/reference are made from it, so that nothing is said twice.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

const module = "holdfast.internal"

// folders hold the structs that users write, each with all below it.
func folders() []string { return []string{"internal/config", "sinks"} }

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "keydocs: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: keydocs ROOT")
	}
	docs, err := gather(args[0])
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(docs)
}

// gather reads all files of a module that may hold such structs.
func gather(root string) (map[string]string, error) {
	docs := map[string]string{}
	for _, folder := range folders() {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error { //nolint:gosec // make generate names the root
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			collect(docs, module+"/"+filepath.ToSlash(dir), file)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// collect takes the comments of all keys: fields with a yaml tag.
func collect(docs map[string]string, pkg string, file *ast.File) {
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range decl.Specs {
			spec, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			fieldDocs(docs, pkg+"."+spec.Name.Name, fields)
		}
	}
}

// fieldDocs takes the comments of a struct's keys.
func fieldDocs(docs map[string]string, of string, fields *ast.StructType) {
	for _, f := range fields.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		name := f.Names[0].Name
		text := oneLine(f.Doc.Text())
		if rest, ok := strings.CutPrefix(text, name); ok {
			text = key + rest // as users spell it
		}
		if text != "" {
			docs[of+"."+name] = text
		}
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

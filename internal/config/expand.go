package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds what is read from a file that a reference names.
const maxSecret = 64 << 10

// expand replaces ${env:NAME} and ${file:/path} in a scalar; $$ stands for a
// dollar sign before a brace. It runs after parsing, so that a value cannot
// change the structure around it.
func (d *document) expand(text string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if strings.HasSuffix(before, "$") { // $${ is a plain ${
			out.WriteString(before + "{")
			text = after
			continue
		}
		reference, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("a reference has no closing brace: write ${env:NAME} or ${file:/path}, and $${ for the text itself")
		}
		value, err := d.dereference(reference)
		if err != nil {
			return "", err
		}
		out.WriteString(before + value)
		text = rest
	}
}

func (d *document) dereference(reference string) (string, error) {
	scheme, name, _ := strings.Cut(reference, ":")
	switch scheme {
	case "env":
		value, ok := d.lookup(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return value, nil
	case "file":
		return d.readFile(name)
	}
	return "", fmt.Errorf("${%s} is no reference: write ${env:NAME} or ${file:/path}, and $${ for the text itself", reference)
}

// readFile returns a file's text without the line break at its end. A relative
// name starts at the configuration file.
func (d *document) readFile(name string) (string, error) {
	f, err := os.Open(d.resolve(name))
	if err != nil {
		return "", unreadable(name, err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", unreadable(name, err)
	}
	if len(text) > maxSecret {
		return "", fmt.Errorf("the file %s is larger than 64 KiB", name)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// unreadable keeps the reason and drops the path that the system adds: name
// says it as the file does.
func unreadable(name string, err error) error {
	if reason, ok := errors.AsType[*os.PathError](err); ok {
		err = reason.Err
	}
	return fmt.Errorf("the file %s cannot be read: %w", name, err)
}

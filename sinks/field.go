package sinks

// Field is a field of its records that a kind of sink cannot do without. A
// kind's Config that has Fields() []Field is held against the schema of the
// sink's topic, where that is known, before anything starts.
type Field struct {
	// Key is the one of the kind's configuration that names the field, such as
	// version or key[0]; "" where every sink of the kind needs it.
	Key string
	// Path is the field's name, of nested ones with dots between; [] steps into
	// the items of a list: lines[].amount.
	Path string
	// Types are what it may be, in Avro's names, as path.Match has it: string,
	// long, decimal, timestamp-*. None is any.
	Types []string
}

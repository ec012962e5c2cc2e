package options

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// notInFile are the flags that ask for something at the moment.
var notInFile = []string{"help", "version", "config", "check"}

// secrets are not printed.
var secrets = []string{"cluster-password", "cluster-secret"}

// quotable reports whether a value of a setting can be part of an error: it is no
// secret, and contains none.
func quotable(name string) bool { return name != "cluster" && !slices.Contains(secrets, name) }

// readFile sets from a TOML file the flags that neither the command line nor the
// environment has set. Its keys are their names: max-message = "64KiB".
func (o *Options) readFile(name string) error {
	var settings map[string]any
	_, err := toml.DecodeFile(name, &settings)
	var wrong toml.ParseError
	switch {
	case errors.As(err, &wrong) && !quotable(wrong.LastKey):
		return fmt.Errorf("--config %s: line %d: invalid value of %q: must be a string", name, wrong.Position.Line, wrong.LastKey)
	case errors.As(err, &wrong):
		return fmt.Errorf("--config %s: line %d: %s", name, wrong.Position.Line, wrong.Message)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("--config %s: there is no such file", name)
	case err != nil:
		return fmt.Errorf("--config %s: %w", name, err)
	}
	for key, setting := range settings {
		flag := o.flags.Lookup(key)
		if flag == nil || slices.Contains(notInFile, key) {
			return fmt.Errorf("--config %s: there is no setting %q", name, key)
		}
		if flag.Changed {
			continue
		}
		err := setFrom(flag, setting)
		if err != nil && !quotable(key) {
			return fmt.Errorf("--config %s: invalid value of %q: must be a string", name, key)
		}
		if err != nil {
			return fmt.Errorf("--config %s: invalid value %v of %q: %w", name, setting, key, err)
		}
	}
	return nil
}

// setFrom sets flag to a value of TOML, a list element by element.
func setFrom(flag *pflag.Flag, setting any) error {
	list, isList := setting.([]any)
	several, takesList := flag.Value.(pflag.SliceValue)
	switch {
	case isList && takesList:
		var texts []string
		for _, element := range list {
			texts = append(texts, fmt.Sprint(element))
		}
		return several.Replace(texts)
	case isList:
		return errors.New("must be one value")
	}
	if _, isTable := setting.(map[string]any); isTable {
		return errors.New("must be a value, there are no tables here")
	}
	return flag.Value.Set(fmt.Sprint(setting))
}

// Settings is every setting as a file for --config would have it, but for secrets:
// what is printed lands in logs.
func (o *Options) Settings() string {
	var text strings.Builder
	o.flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(notInFile, f.Name) {
			return
		}
		var value any = f.Value.String()
		if several, takesList := f.Value.(pflag.SliceValue); takesList {
			value = append([]string{}, several.GetSlice()...)
		}
		if f.Name == "cluster" {
			value = o.Cluster.Redacted()
		}
		if slices.Contains(secrets, f.Name) && value != "" {
			fmt.Fprintf(&text, "# %s is set and not shown\n", f.Name)
			return
		}
		switch f.Value.Type() {
		case "n":
			fmt.Fprintf(&text, "%s = %s\n", f.Name, value)
		case "bool":
			fmt.Fprintf(&text, "%s = %s\n", f.Name, value)
		default:
			line, _ := toml.Marshal(map[string]any{f.Name: value}) // a string, or strings
			text.Write(line)
		}
	})
	return text.String()
}

package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteJSON writes r to the file path, whose folder it creates. The file is
// whole or not there: it is written beside its place and then renamed.
func WriteJSON(path string, r *Result) error {
	return writeFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	})
}

// ReadJSON reads what WriteJSON wrote. Its errors name the file and what is
// wrong with it.
func ReadJSON(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err) // a PathError, it names the file
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
			return nil, fmt.Errorf("report: %s: line %d is not JSON: %w", path, line, err)
		}
		return nil, fmt.Errorf("report: %s is not a result of this harness: %w", path, err)
	}
	// Any JSON object would do so far.
	if r.Name == "" && len(r.Scenarios) == 0 {
		return nil, fmt.Errorf("report: %s is not a result of this harness: it has neither a name nor scenarios", path)
	}
	return &r, nil
}

// writeFile has fill write a new file that takes the place of path at the end.
func writeFile(path string, fill func(io.Writer) error) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	f, err := os.CreateTemp(folder, filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("report: writing %s: %w", path, err)
		}
	}()
	w := bufio.NewWriter(f)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// CreateTemp makes files that nobody else may read.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

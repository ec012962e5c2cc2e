//go:build linux

package proc

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sigver/bench/report"
)

// Machine describes this machine. What cannot be read is left empty.
func Machine() report.Machine {
	m := report.Machine{
		Kernel:     kernelRelease(),
		CPU:        cpuModel(),
		Cores:      runtime.NumCPU(),
		Go:         runtime.Version(),
		LocalPorts: strings.Join(strings.Fields(read("/proc/sys/net/ipv4/ip_local_port_range")), " "),
	}
	m.Memory, _ = field("/proc/meminfo", "MemTotal:")
	m.OpenFiles, _ = FileLimit(os.Getpid())
	m.Somaxconn, _ = strconv.Atoi(strings.TrimSpace(read("/proc/sys/net/core/somaxconn")))
	return m
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

func cpuModel() string {
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

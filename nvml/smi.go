package nvml

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Bounds of a saved matrix: no host has more devices, no output is longer.
const (
	maxNodes    = 256
	maxTopology = 1 << 20
)

var (
	ansiCode  = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	gpuName   = regexp.MustCompile(`^GPU\d+$`)
	nodeName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*$`)
	pathToken = regexp.MustCompile(`^(X|NV\d+|PIX|PXB|PHB|NODE|SYS|SOC|\?|[A-Z][A-Z0-9/]{1,7})$`)
	cardLine  = regexp.MustCompile(`^\s+(\S+): (\S+)\s*$`)
)

// ParseTopology reads the output of nvidia-smi topo -m: with or without
// terminal codes, with tabs or spaces, with or without network cards (rows and
// legend) and columns of affinity. Paths of rows that are missing come from
// their mirror image. Old drivers' SOC is SYS.
func ParseTopology(text string) (*Topology, error) {
	if len(text) > maxTopology {
		return nil, fmt.Errorf("%d bytes are too long for the output of nvidia-smi topo -m", len(text))
	}
	lines := strings.Split(ansiCode.ReplaceAllString(text, ""), "\n")
	p := matrixParser{topology: &Topology{}, done: map[int]bool{}}
	at := slices.IndexFunc(lines, p.header)
	if at < 0 {
		return nil, errors.New("no line of GPU names: this is not the output of nvidia-smi topo -m")
	}
	if len(p.names) > maxNodes {
		return nil, fmt.Errorf("line %d: %d devices in one matrix, at most %d are read", at+1, len(p.names), maxNodes)
	}
	for i, name := range p.names {
		if slices.Contains(p.names[:i], name) {
			return nil, fmt.Errorf("line %d: two columns are named %s", at+1, name)
		}
		p.topology.Nodes = append(p.topology.Nodes, Node{Name: name})
		p.topology.Paths = append(p.topology.Paths, make([]Path, len(p.names)))
	}
	for i, line := range lines[at+1:] {
		if err := p.row(strings.TrimRight(line, "\r")); err != nil {
			return nil, fmt.Errorf("line %d: %w", at+2+i, err)
		}
	}
	for i, n := range p.topology.Nodes {
		if n.IsGPU() && !p.done[i] {
			return nil, fmt.Errorf("the row of %s is missing", n.Name)
		}
	}
	p.mirror()
	return p.topology, nil
}

// matrixParser reads the matrix line by line.
type matrixParser struct {
	topology *Topology
	names    []string
	titles   []title      // columns behind the matrix
	done     map[int]bool // nodes whose row was read
}

// title is a column behind the matrix: its place in affinityTitles and where
// it starts in the line.
type title struct{ which, start int }

// header says whether a line names the columns, and takes them.
func (p *matrixParser) header(line string) bool {
	line = strings.TrimRight(line, "\r")
	p.names, p.titles = nil, nil
	end := len(line)
	for which, a := range affinityTitles {
		if start := strings.Index(line, a.title); start >= 0 {
			p.titles = append(p.titles, title{which, start})
			end = min(end, start)
		}
	}
	p.names = strings.Fields(line[:end])
	if len(p.names) == 0 || !gpuName.MatchString(p.names[0]) {
		return false
	}
	for _, n := range p.names {
		if !nodeName.MatchString(n) || n == "X" {
			return false
		}
	}
	return true
}

// row takes a line of the matrix or of the legend of network cards; other
// lines are passed over.
func (p *matrixParser) row(line string) error {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil
	}
	if m := cardLine.FindStringSubmatch(line); m != nil {
		if i := slices.Index(p.names, m[1]); i >= 0 {
			p.topology.Nodes[i].Device = m[2]
		}
		return nil
	}
	i := slices.Index(p.names, fields[0])
	if i < 0 {
		return nil
	}
	if p.done[i] {
		return fmt.Errorf("a second row of %s", fields[0])
	}
	p.done[i] = true
	if len(fields)-1 < len(p.names) {
		return fmt.Errorf("the row of %s has %d paths for %d columns", fields[0], len(fields)-1, len(p.names))
	}
	for j, token := range fields[1 : 1+len(p.names)] {
		if !pathToken.MatchString(token) || (token == "X") != (i == j) {
			return fmt.Errorf("%.40q cannot be the path from %s to %s", token, p.names[i], p.names[j])
		}
		switch token {
		case "SOC":
			token = string(PathSys)
		case "?":
			token = ""
		}
		p.topology.Paths[i][j] = Path(token)
	}
	p.affinity(&p.topology.Nodes[i], line, fields[1+len(p.names):])
	return nil
}

// affinity gives the values behind the matrix to their columns. When some are
// missing, tabs or the place in the line say which.
func (p *matrixParser) affinity(n *Node, line string, values []string) {
	if len(values) >= len(p.titles) {
		for k, t := range p.titles {
			*affinityTitles[t.which].of(n) = values[k]
		}
		return
	}
	if cells := strings.Split(line, "\t"); len(cells) > 1+len(p.names) {
		p.tabbed(n, cells[1+len(p.names):])
		return
	}
	from := 0
	for _, v := range values {
		from += strings.Index(line[from:], " "+v) + 1
		nearest := slices.MinFunc(p.titles, func(a, b title) int { return distance(a.start, from) - distance(b.start, from) })
		*affinityTitles[nearest.which].of(n) = v
	}
}

func distance(a, b int) int { return max(a-b, b-a) }

// tabbed gives tab-separated cells to the columns. A column may be followed by
// one tab more than it needs, so empty cells in front of the last value say
// little; the first cells do stand in their place.
func (p *matrixParser) tabbed(n *Node, cells []string) {
	titles := p.titles
	for len(titles) > 0 && len(cells) > 0 {
		v := strings.TrimSpace(cells[0])
		if v == "" && len(titles) == 1 {
			cells = cells[1:]
			continue
		}
		*affinityTitles[titles[0].which].of(n) = v
		titles, cells = titles[1:], cells[1:]
	}
}

// mirror fills the paths of missing rows from the other direction.
func (p *matrixParser) mirror() {
	for i, row := range p.topology.Paths {
		for j := range row {
			switch {
			case i == j:
				row[j] = PathSelf
			case row[j] == "":
				row[j] = p.topology.Paths[j][i]
			}
		}
	}
}

package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// checkStacks says whether the tree and its samples are whole, so that the
// drawings below can trust every index.
func checkStacks(a *document.Analysis) error {
	for i, n := range a.Stacks.Nodes {
		if i == 0 && n.Parent == -1 {
			continue
		}
		if n.Parent < 0 || int(n.Parent) >= i {
			return fmt.Errorf("report: stack node %d has parent %d", i, n.Parent)
		}
	}
	for i, s := range a.Stacks.Samples {
		if s.Node < 0 || int(s.Node) >= len(a.Stacks.Nodes) || s.Kernel < 0 || int(s.Kernel) >= len(a.Kernels) {
			return fmt.Errorf("report: stack sample %d has node %d, kernel %d", i, s.Node, s.Kernel)
		}
	}
	return nil
}

// canonicalNodes gives every node the first node whose frames look the same
// from the root down, where key says how the frame of node i looks.
func canonicalNodes[K comparable](nodes []document.Frame, key func(i int) K) []int32 {
	type path struct {
		parent int32
		key    K
	}
	seen := map[path]int32{}
	canon := make([]int32, len(nodes))
	for i, n := range nodes {
		if i == 0 {
			continue // the root
		}
		p := path{canon[n.Parent], key(i)}
		c, ok := seen[p]
		if !ok {
			c = int32(i)
			seen[p] = c
		}
		canon[i] = c
	}
	return canon
}

// frameNameCells bounds a frame's name: viewers draw boxes, not paragraphs.
const frameNameCells = 160

// stackFrameName is the text of a frame.
func stackFrameName(f document.Frame) string {
	if name := cutCells(f.Name, frameNameCells); name != "" {
		return name
	}
	return "(no name)"
}

// kernelFrame is the name of a kernel as the innermost frame:
// "attention.decode.flash_fwd_splitkv". The group in front is what pprof's
// flame graph takes for the package and picks the colour from; it also makes
// lists of kernels readable without their stacks.
func kernelFrame(k *document.Kernel) string {
	// pprof takes a slash for a part of the package path.
	short := strings.ReplaceAll(kernelShort(k), "/", "∕")
	return kernelCategory(k) + "." + cutMiddle(short, frameNameCells)
}

// wholeFrame is a graph recorded as a whole as the innermost frame. The group in
// front is no kernel's, and lists without stacks show what it is.
func wholeFrame(a *document.Analysis, w *document.WholeSample) string {
	return wholeGroup + ".whole." + a.Stacks.WholeName(w) + " (kernels not recorded)"
}

// wholeGroup stands where kernels have their group.
const wholeGroup = "graphs"

// windowFrame is the outermost frame, and label, that keeps several windows
// apart.
func windowFrame(a *document.Analysis, i int) string {
	if a.Window.Name == "" {
		return "window " + strconv.Itoa(i)
	}
	return "window " + cutCells(a.Window.Name, frameNameCells)
}

// foldedFrame replaces what separates frames and lines.
var foldedFrame = strings.NewReplacer(";", ":")

// WriteFolded writes one line per distinct stack, sorted: the frames from the
// outermost to the kernel, joined by ";", a space, and the nanoseconds of GPU
// time. CUDA graphs recorded as a whole stand below a frame of their own, since
// none of that time is in a kernel: without them a phase that ran in graphs
// would be drawn as next to nothing. Several windows are kept apart by an
// outermost frame. It returns errors of w, and one for a document with a broken
// tree.
func WriteFolded(w io.Writer, s *document.Set) error {
	out := bufio.NewWriter(w)
	for i, a := range s.Analyses {
		if err := checkStacks(a); err != nil {
			return err
		}
		prefix := ""
		if len(s.Analyses) > 1 {
			prefix = foldedFrame.Replace(windowFrame(a, i)) + ";"
		}
		for _, l := range foldedLines(a) {
			out.WriteString(prefix)
			out.WriteString(l)
			if err := out.WriteByte('\n'); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// foldedLines adds up the samples of equal stacks.
func foldedLines(a *document.Analysis) []string {
	canon := canonicalNodes(a.Stacks.Nodes, func(i int) string { return stackFrameName(a.Stacks.Nodes[i]) })
	type leaf struct {
		node int32
		name string
	}
	names := make([]string, len(a.Kernels))
	for i := range a.Kernels {
		names[i] = foldedFrame.Replace(kernelFrame(&a.Kernels[i]))
	}
	total := map[leaf]int64{}
	for _, s := range a.Stacks.Samples {
		if s.TimeNS > 0 {
			total[leaf{canon[s.Node], names[s.Kernel]}] += s.TimeNS
		}
	}
	lines := make([]string, 0, len(total)+len(a.Stacks.Whole))
	whole := map[string]int64{}
	for i := range a.Stacks.Whole {
		w := &a.Stacks.Whole[i]
		whole[strings.Join([]string{foldedFrame.Replace(stackFrameName(document.Frame{Name: w.Phase})), document.WholeFrame, wholeFrame(a, w)}, ";")] += w.TimeNS
	}
	for path, ns := range whole {
		if ns > 0 {
			lines = append(lines, path+" "+strconv.FormatInt(ns, 10))
		}
	}
	for l, ns := range total {
		lines = append(lines, foldedPath(a.Stacks.Nodes, l.node)+l.name+" "+strconv.FormatInt(ns, 10))
	}
	slices.Sort(lines)
	return lines
}

// foldedPath is the frames down to a node, each followed by ";". The root is
// the whole and has no frame: viewers draw their own.
func foldedPath(nodes []document.Frame, n int32) string {
	var frames []string
	for ; n > 0; n = nodes[n].Parent {
		frames = append(frames, foldedFrame.Replace(stackFrameName(nodes[n]))+";")
	}
	slices.Reverse(frames)
	return strings.Join(frames, "")
}

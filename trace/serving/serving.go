// Package serving is one inference server as seen over HTTP and in its log: what
// it is, its profile routes, its metrics and log lines, and what one request got
// from it. It knows no GPU, no kernel and no file of a profiler.
package serving

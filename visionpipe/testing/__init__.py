"""Helpers for the tests of programs that use visionpipe, and for its own: nothing here is used by the
package itself."""

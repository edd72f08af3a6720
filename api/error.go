package api

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer of the API that is not a success: Neutron's own exception type and message.
type Error struct {
	Status  int    // HTTP status
	Type    string // the exception's class name, as clients switch on it
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Type + ": " + e.Message }

func fail(status int, typ, format string, args ...any) *Error {
	return &Error{Status: status, Type: typ, Message: fmt.Sprintf(format, args...)}
}

// badRequest is what the request's shape and its attributes' validation answer with.
func badRequest(format string, args ...any) *Error {
	return fail(http.StatusBadRequest, "HTTPBadRequest", format, args...)
}

// invalidInput is Neutron's InvalidInput: raised by conversions and by checks of several attributes together.
func invalidInput(format string, args ...any) *Error {
	return fail(http.StatusBadRequest, "InvalidInput", "Invalid input for operation: %s.", fmt.Sprintf(format, args...))
}

// badResource is Neutron's BadRequest with a resource named.
func badResource(resource, format string, args ...any) *Error {
	return fail(http.StatusBadRequest, "BadRequest", "Bad %s request: %s.", resource, fmt.Sprintf(format, args...))
}

func conflict(typ, format string, args ...any) *Error {
	return fail(http.StatusConflict, typ, format, args...)
}

func notFound(typ, format string, args ...any) *Error {
	return fail(http.StatusNotFound, typ, format, args...)
}

// hidden is the answer for what exists and must not be known to exist.
var hidden = &Error{http.StatusNotFound, "HTTPNotFound", "The resource could not be found."}

func forbidden(rule string) *Error {
	return fail(http.StatusForbidden, "PolicyNotAuthorized", "%s is disallowed by policy", rule)
}

// asError gives the API's error in a chain; nil if there is none, which is an internal error then.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

/* Included first in the validator that removes one check at a time: a check that is removed holds. */
int removed(const char *file, unsigned int line);

// Asio's own code, compiled here once rather than in every source that includes it (BOOST_ASIO_SEPARATE_COMPILATION): a
// third off the time to build such a source, more than half under a sanitizer.
#include <boost/asio/impl/src.hpp>

#include <array>
#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/jpeg.hpp"

namespace lmaps::bindings {
namespace {

// The tables' views, kept alive beside the format that points into them.
struct Format {
  View luma;
  View chroma;
  JpegFormat format;
};

void set_sampling(JpegFormat& format, const std::string& sampling, const std::string& chroma) {
  struct Known {
    const char* name;
    int down, across;
  };
  constexpr std::array<Known, 5> known = {{{"4:4:4", 1, 1}, {"4:2:2", 1, 2}, {"4:2:0", 2, 2}, {"4:4:0", 2, 1}, {"4:1:1", 1, 4}}};
  format.chroma_down = 0;
  for (const Known& one : known) {
    if (sampling == one.name) format.chroma_down = one.down, format.chroma_across = one.across;
  }
  if (format.chroma_down == 0) {
    throw py::value_error("sampling must be '4:4:4', '4:2:2', '4:2:0', '4:4:0' or '4:1:1', got '" + sampling + "'");
  }
  if (chroma != "decimate" && chroma != "average") {
    throw py::value_error("chroma must be 'decimate' or 'average', got '" + chroma + "'");
  }
  format.average = chroma == "average";
}

using Sides = std::vector<std::int64_t>;

Format format_of(const py::object& luma_table, const py::object& chroma_table, const std::string& sampling,
                 const std::string& chroma, std::int64_t channels) {
  Format made;
  made.luma = view(luma_table, "luma_table");
  if (made.luma.shape != Sides{8, 8}) throw py::value_error("luma_table must have shape [8, 8], got " + made.luma.shape_text());
  made.format.luma_table = made.luma.floats();
  set_sampling(made.format, sampling, chroma);
  if (channels == 1) return made;
  made.chroma = view(chroma_table, "chroma_table");
  const bool both = made.chroma.shape == Sides{2, 8, 8};
  if (!both && made.chroma.shape != Sides{8, 8}) {
    throw py::value_error("chroma_table must have shape [8, 8], or [2, 8, 8] for Cb and Cr, got " + made.chroma.shape_text());
  }
  made.format.cb_table = made.chroma.floats();
  made.format.cr_table = made.chroma.floats() + (both ? 64 : 0);
  return made;
}

py::object jpeg_steps(const py::object& xhat, const py::object& y, const py::object& luma_table,
                      const py::object& chroma_table, const std::string& sampling, double r, double k2, double eta,
                      std::int64_t steps, const std::string& chroma, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y");
  const Shape shape = picture(start);
  same_shape(start, measured);
  const Format format = format_of(luma_table, chroma_table, sampling, chroma, shape.channels);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    lmaps::jpeg_steps(start.floats(), measured.floats(), x.floats(), shape, format.format, {r, k2, eta, steps});
  }
  return x.object;
}

py::object jpeg_forward(const py::object& x, const py::object& luma_table, const py::object& chroma_table,
                        const std::string& sampling, const std::string& chroma, const py::object& out) {
  const View from = view(x, "x");
  const Shape shape = picture(from);
  const Format format = format_of(luma_table, chroma_table, sampling, chroma, shape.channels);
  const Result to = result(out, from.shape);
  {
    const py::gil_scoped_release release;
    lmaps::jpeg_forward(from.floats(), to.floats(), shape, format.format);
  }
  return to.object;
}

}  // namespace

void bind_jpeg(py::module_& module) {
  module.def("jpeg_steps", &jpeg_steps, py::arg("xhat"), py::arg("y"), py::arg("luma_table"), py::arg("chroma_table"),
             py::arg("sampling"), py::arg("r"), py::arg("k2"), py::arg("eta"), py::arg("steps"), py::kw_only(),
             py::arg("chroma") = "decimate", py::arg("out") = py::none(),
             "The inner problem for JPEG with J = I (Eq. 17). xhat, y: [B, 3, H, W] RGB, or [B, 1, H, W] grey, where\n"
             "chroma_table is not looked at. luma_table: float32 [8, 8]; chroma_table: [8, 8], or [2, 8, 8] for Cb and Cr.\n"
             "sampling: '4:4:4', '4:2:2', '4:2:0', '4:4:0', '4:1:1'; chroma: 'decimate' or 'average'. Sides that are not whole\n"
             "macroblocks are extended by their last row and column inside H.");
  module.def("jpeg_forward", &jpeg_forward, py::arg("x"), py::arg("luma_table"), py::arg("chroma_table"), py::arg("sampling"),
             py::kw_only(), py::arg("chroma") = "decimate", py::arg("out") = py::none(),
             "H(x) = decode(encode(x)), arguments as in jpeg_steps.");
}

}  // namespace lmaps::bindings

// A press on a heading sorts the table's rows by that column; numbers by value, cells without a number last.
for (const heading of document.querySelectorAll('th[aria-sort]')) {
  heading.querySelector('button').addEventListener('click', () => {
    const down = heading.getAttribute('aria-sort') === 'ascending';
    for (const other of heading.parentElement.children) if (other.hasAttribute('aria-sort')) other.setAttribute('aria-sort', 'none');
    heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const body = heading.closest('table').tBodies[0];
    const cell = (row) => row.cells[heading.cellIndex];
    const compare = (a, b) => {
      const [x, y] = [cell(a).dataset.value, cell(b).dataset.value];
      if (x === undefined && y === undefined) return cell(a).textContent.localeCompare(cell(b).textContent, 'en', { numeric: true }) * (down ? -1 : 1);
      if (x === '' || y === '') return (x === '') - (y === '');
      return (Number(x) - Number(y)) * (down ? -1 : 1);
    };
    body.append(...Array.from(body.rows).sort(compare));
  });
}
